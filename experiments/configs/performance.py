"""Configurations of performance matching: by kernels and by long unrolls.

KIP and label solve (Nguyen, Chen & Lee, 2020, arXiv 2011.00050; Nguyen et al.,
2021, arXiv 2107.13034), FRePo (Zhou et al., 2022, arXiv 2206.00719), RFAD (Loo
et al., 2022, arXiv 2210.12067), RCIG (Loo et al., 2023, arXiv 2302.06755) and
RaT-BPTT (Feng et al., 2023, arXiv 2311.07025), with what each published.
"""

import options
from configs.datasets import DATASETS
from configs.matching import choose_start, common

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError

KERNELS = {
    "fc1": dict(kernel="fully_connected", depth=1, kind="ntk"),
    "fc3": dict(kernel="fully_connected", depth=3, kind="ntk"),
    "conv3": dict(kernel="convolutional", depth=3, kind="ntk"),
    "convnet3": dict(kernel="convolutional_pooled", depth=3, kind="ntk"),
}
# FRePo's updates of a student by samples; more take those of the next fewer.
_UPDATES = {1: 1_000, 100: 2_000, 400: 5_000, 1_000: 10_000, 2_000: 40_000}
# RaT-BPTT's window, most steps and samples of a class a step, by samples of a
# class.
_WINDOWS = {1: (60, 200, 0), 10: (60, 200, 0), 50: (100, 300, 10)}


def kernels(method: str, dataset: str):
  """`get_config` of KIP or label solve on a data set.

  Options after the colon: `kernel=fc1|fc3|conv3|convnet3`, `images=N` (0, the
  default, for 100 of KIP and 500 of label solve), `labels` (learns them; label
  solve always does), `augment` (the real images), `zca`,
  `init=real|noise|class_mean|kmeans|herding`, `quick` (on the embedded digits).
  """

  def get_config(text=None):
    chosen = options.parse(
        text, kernel="fc1", images=0, labels=False, augment=False, zca=False,
        init="", quick=False,
    )
    if chosen.images < 0:
      raise ConfigError(
          "`images` must be positive, or 0 for the usual number; got "
          f"{chosen.images}."
      )
    usual = 20 if chosen.quick else 100 if method == "kip" else 500
    chosen.images = chosen.images or usual
    chosen.ipc, chosen.width, chosen.parameterization = 0, 0, ""
    chosen.learn_labels = chosen.labels and method == "kip"
    chosen.preprocessing = "relative_zca" if chosen.zca else "standardise"
    data = DATASETS[dataset]
    config = common(data, chosen)
    config.method = method
    config.network = dict(
        name="kernel_ridge", ridge=1e-6,
        **one_of(KERNELS, "kernel", chosen.kernel),
    )
    config.validation_fraction = 0.0
    config.num_samples = chosen.images
    config.label_space, config.start_labels = "centred", "centred"
    moved = ["crop", "flip", "rotate"] if data.mirrored else ["crop", "rotate"]
    config.augmentation.strategy = "_".join(moved) if chosen.augment else ""
    config.optimizer, config.beta1 = "adam", 0.9
    config.learning_rate = config.label_learning_rate = 0.04
    config.batch_size = 500 if chosen.kernel.startswith("fc") else 50
    config.num_steps = 300 if method == "kip" else 1
    config.log_every, config.checkpoint_every = 20, 100
    config.recipe = dict(name="kip", num_steps=5_000)
    config.evaluation.num_networks = 1
    config.evaluation.baselines = "random_real"
    config.evaluation.num_sets, config.evaluation.networks_per_set = 3, 1
    choose_start(config, chosen)
    if chosen.quick:
      config.data, config.preprocessing = "digits", "standardise"
      config.batch_size = 20
      config.num_steps = min(config.num_steps, 20)
      config.log_every, config.checkpoint_every = 5, 10
      config.recipe.num_steps = 50
    return config

  return get_config


def students(method: str, dataset: str):
  """`get_config` of a method whose networks are finite.

  Options after the colon: `ipc=N` (samples per class),
  `network=frepo_convnet|convnet|lenet` (the student, by default the method's),
  `features=...` (likewise, the network that the set is distilled with; by
  default the student's kind), `width=W`,
  `init=noise|real|class_mean|kmeans|herding`,
  `parameterization=pixels|multi_formation|linear_bases|hallucinator`,
  `preprocessing=standardise|zca|relative_zca` (instead of the published),
  `learn_labels` and `regression` (of RaT-BPTT: students regress on centred
  labels; the others always do both), `quick` (on the embedded digits).
  """

  def get_config(text=None):
    chosen = options.parse(
        text, ipc=10, network="", features="", width=0, init="",
        parameterization="", preprocessing="", learn_labels=False,
        regression=False, quick=False,
    )
    if chosen.ipc < 1:
      raise ConfigError(f"`ipc` must be at least 1; got {chosen.ipc}.")
    data = DATASETS[dataset]
    chosen.width = chosen.width or (8 if chosen.quick else _WIDTH[method])
    if chosen.quick:
      chosen.preprocessing = "standardise"
    elif not chosen.preprocessing and len(data.mean) == 3:
      chosen.preprocessing = "relative_zca"
    if method != "rat_bptt":
      chosen.learn_labels = True
    config = common(data, chosen)
    config.method = method
    config.augmentation.strategy = ""
    config.optimizer, config.beta1 = "adam", 0.9
    config.log_every, config.checkpoint_every = 50, 500
    _OWN[method](config, data, chosen)
    choose_start(config, chosen)
    if chosen.quick:
      _quick(config)
    return config

  return get_config


def _networks(config, chosen, name: str, **arguments):
  """The student, and the network that the set is distilled with."""
  depth = config.network.depth

  def spec(option, name):
    name = one_of(("convnet", "frepo_convnet", "lenet"), option, name)
    if name == "lenet":
      return dict(name=name)
    return dict(
        name=name, depth=depth, width=chosen.width, norm="none", **arguments
    )

  student = chosen.network or name
  config.network = spec("network", student)
  config.distilling_network = spec("features", chosen.features or student)


def _regression(config, step_size: float, num_steps: int, strategy: str = ""):
  """What students need that regress on centred labels."""
  config.label_space, config.start_labels = "centred", "centred"
  config.recipe = dict(
      name="frepo", num_steps=num_steps, step_size=step_size, warm_up=500,
      target_scale=1.0, batch_size=500, strategy=strategy,
  )


def _updates(chosen) -> int:
  return _UPDATES[max(n for n in _UPDATES if n <= 10 * chosen.ipc)]


def _frepo(config, data, chosen):
  _regression(config, 3e-4, _updates(chosen))
  _networks(config, chosen, "frepo_convnet")
  if config.distilling_network.name == "frepo_convnet":
    config.distilling_network.norm = "fast_batch"
  config.ridge, config.margin = 1e-6, 1.0
  config.mirrored = data.mirrored and len(data.mean) == 3
  config.network_pool = dict(
      size=10, max_age=101, step_size=3e-4, least_steps=1, most_steps=1
  )
  config.batch_size = 1_024
  config.optimizer, config.schedule, config.last_rate = "lamb", "cosine", 0.1
  config.learning_rate = config.label_learning_rate = 3e-4
  config.num_steps = 500_000


def _rfad(config, data, chosen):
  del data
  _regression(config, 3e-4, _updates(chosen))
  _networks(config, chosen, "convnet", initialisation="he_normal")
  config.ridge, config.loss = 5e-3, "platt"
  config.num_initialisations = 8
  config.batch_size = 5_120
  config.optimizer = "adabelief"
  config.learning_rate = config.label_learning_rate = 1e-3
  config.extra_learning_rate = 1e-2
  config.num_steps = 10_000


def _rcig(config, data, chosen):
  _regression(config, 1e-4, _updates(chosen))
  _networks(config, chosen, "frepo_convnet")
  if config.distilling_network.name != "lenet":
    config.distilling_network.activation = "softplus"
  config.l2_rate = 5e-4
  config.mirrored = data.mirrored and len(data.mean) == 3
  config.solver = dict(name="conjugate_gradients", num_steps=20)
  config.network_pool = dict(
      size=30, max_age=99, step_size=5e-5, least_steps=1, most_steps=15
  )
  config.batch_size = 1_024
  config.optimizer = "adabelief"
  config.learning_rate = config.label_learning_rate = 0.003
  config.extra_learning_rate = 0.03
  config.average = 0.99
  config.num_steps = 10_000


def _rat_bptt(config, data, chosen):
  name = one_of(("convnet", "lenet"), "network", chosen.network or "convnet")
  if name == "lenet":
    config.network = dict(name=name)
  window, steps, batch = _WINDOWS[max(n for n in _WINDOWS if n <= chosen.ipc)]
  config.student = dict(
      window=window, lowest=0, num_steps=steps, optimizer="adam",
      step_size=1e-3, momentum=0.0, batch_per_class=batch, one_draw=False,
      augment_real=True, loss="cross_entropy", target_scale=1.0,
  )
  config.unit_norm = False  # real images keep their norm
  config.label_space = "raw"
  config.start = "real"
  config.augmentation.strategy = "flip_rotate" if data.mirrored else ""
  config.batch_size = 5_000
  config.learning_rate = config.label_learning_rate = 1e-3
  config.clip_average = 2.0
  config.num_steps = 60_000
  moved = config.augmentation.strategy
  if chosen.regression:
    config.student.loss = "squared_error"
    _regression(config, 1e-3, 300, moved)
  else:
    config.recipe = dict(
        name="rat_bptt", num_steps=300, step_size=1e-3, last_rate=1.0,
        batch_size=5_000, strategy=moved,
    )


_OWN = dict(frepo=_frepo, rat_bptt=_rat_bptt, rcig=_rcig, rfad=_rfad)
_WIDTH = dict(frepo=128, rat_bptt=128, rcig=128, rfad=256)
METHODS = tuple(sorted(_OWN))


def _quick(config):
  """Small, on the digits that scikit-learn carries."""
  config.data = "digits"
  for name in ("network", "distilling_network"):
    if "depth" in config.get(name, {}):
      config[name].depth = 2
  config.num_steps, config.log_every, config.checkpoint_every = 20, 5, 10
  config.batch_size = 64
  config.recipe.num_steps, config.recipe.step_size = 50, 0.01
  config.recipe.strategy = ""
  if "network_pool" in config:
    config.network_pool.size = 2
  if "num_initialisations" in config:
    config.num_initialisations = 2
  if "student" in config:
    config.student.window, config.student.num_steps = 3, 8
    config.augmentation.strategy = ""
  config.evaluation.num_networks = 2
  config.evaluation.num_sets, config.evaluation.networks_per_set = 2, 1
