"""The configuration that the matching methods share, on any images.

DC (Zhao et al., 2020, arXiv 2006.05929), DSA (2021, arXiv 2102.08259), DM
(2021, arXiv 2110.04181), CAFE (Wang et al., 2022, arXiv 2203.01531), IDC (Kim
et al., 2022, arXiv 2205.14959), EDD on top of it (an anonymous draft), NCFM
(Wang et al., 2025, arXiv 2502.20653), and the sum of DSA and DM. A method is a
function below that writes what it changes.
"""

import ml_collections
import options
from configs.datasets import DATASETS

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.parameterization import from_spec

# Matches for a fresh network, and epochs between them, by samples per class.
_PUBLISHED = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20),
              40: (40, 15), 50: (50, 10)}


def matching(method: str, dataset: str):
  """`get_config` of a method on a data set.

  Options after the colon: `ipc=N` (samples per class), `width=W` (of the
  ConvNet), `init=noise|real|class_mean|kmeans|herding`,
  `parameterization=pixels|multi_formation|linear_bases|hallucinator`,
  `preprocessing=standardise|zca` (instead of the data set's published
  constants; give it with data of your own), `recipe=dc|dsa|cafe|idc` (of the
  evaluation, instead of the method's own), `segments=N` (of EDD),
  `learn_labels` (not of DM and CAFE), `quick`.
  """

  def get_config(text=None):
    chosen = options.parse(
        text, ipc=10, width=128, init="", parameterization="",
        preprocessing="", recipe="", segments=0, learn_labels=False,
        quick=False,
    )
    if chosen.ipc < 1:
      raise ConfigError(f"`ipc` must be at least 1; got {chosen.ipc}.")
    config = common(DATASETS[dataset], chosen)
    config.method = method
    METHODS[method](config, DATASETS[dataset], chosen)
    config.recipe = _recipe(
        chosen.recipe or _RECIPE_OF[method], DATASETS[dataset]
    )
    choose_start(config, chosen)
    if chosen.quick:
      config.num_steps, config.log_every, config.checkpoint_every = 20, 5, 10
      config.batch_size = 32
      config.evaluation.num_networks = 2
      config.evaluation.num_sets, config.evaluation.networks_per_set = 2, 1
      config.recipe.num_epochs = 20
      if "pool" in config:
        config.pool.num_networks, config.pool.num_epochs = 2, 1
      if "segments" in config:
        config.segments.at_least = 32
        config.segments.recipe.num_epochs = 20
    return config

  return get_config


def common(data, chosen) -> ml_collections.ConfigDict:
  """What methods on images share, before any of them writes its own."""
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.data = data.spec
  published = dict(mean=data.mean, std=data.std)
  config.preprocessing = chosen.preprocessing or published
  config.validation_fraction = 0.1
  config.network = dict(name="convnet", depth=data.depth, width=chosen.width)

  config.parameterization = dict(name="pixels")
  config.samples_per_class = chosen.ipc
  config.num_samples = 0
  config.num_steps_per_epoch = 1
  config.num_epochs = 1
  config.student_init = "random"
  config.start = "real"
  config.start_labels = "one_hot"
  config.learn_labels = chosen.learn_labels
  config.clamp = False
  config.step_size = 0.0
  config.augmentation = dict(kind="dsa", strategy=data.strategy)

  config.batch_size = 256
  config.optimizer = "sgd"
  config.learning_rate = 0.1
  config.label_learning_rate = 0.01
  config.schedule = "constant"
  config.restart_after = 0
  config.restart_every = 1
  config.beta1 = 0.5
  config.beta2 = 0.999
  config.clip_norm = 0.0
  config.weight_decay = 0.0
  config.average = 0.0

  config.num_steps = 1_000
  config.log_every = 50
  config.checkpoint_every = 50
  config.evaluation = dict(
      num_networks=20, baselines="random_real,byte_matched_real",
      full_data=False, num_sets=5, networks_per_set=4,
  )
  config.figures = True
  return config


def choose_start(config, chosen) -> None:
  """What the options `init` and `parameterization` put in a method's place."""
  if chosen.init:
    config.start = chosen.init
  if chosen.parameterization:
    config.parameterization = _parameterization(chosen.parameterization)
    config.clamp &= from_spec(config.parameterization).separates_classes


def _dc(config, data, chosen):
  gradients(config, data, chosen)
  config.augmentation.strategy = ""
  config.start = "noise"


def gradients(config, data, chosen):
  """DSA, and what DC shares with it."""
  del data
  steps, epochs = _PUBLISHED.get(
      chosen.ipc, (chosen.ipc, max(500 // chosen.ipc, 1))
  )
  config.distance = "by_output"
  config.steps_per_network = steps
  config.epochs_between = epochs
  config.network_step_size = 0.01
  config.threshold = 0.0
  config.num_steps = 1_000 * steps


def _dm(config, data, chosen):
  del data
  config.learning_rate = 1.0 if chosen.ipc < 100 else 10.0
  config.covariances = 0.0
  config.num_steps = 20_000


def _cafe(config, data, chosen):
  del chosen
  config.start = "noise"
  config.layer_weights = (0.1,) * (data.depth - 1) + (1.0, 2.0)
  config.discrimination = 0.01
  config.network_step_size = 0.01
  config.watched = 128
  config.settled, config.moved, config.max_epochs = 0.04, 0.03, 50
  config.augmentation.strategy = ""
  config.num_steps = 20_000


def _idc(config, data, chosen):
  grey = len(data.mean) == 1
  config.parameterization = _parameterization("multi_formation")
  config.augmentation = dict(kind="idc", strategy="color_crop_cutout")
  config.batch_size = 64
  config.distance = "kernels_absolute" if grey else "kernels_squared"
  config.steps_per_network = 100
  config.batches_between = 8 if grey else 32
  config.mix = 0.0 if grey and not data.mirrored else 0.5
  # Published for pixels in [0, 1], in steps that grow with the set.
  side = 28 if grey else 32 if data.depth == 3 else 64
  rate = (1e-4 if grey else 5e-3) * (chosen.ipc / 10)
  rate *= (side / data.reference_side) ** 2
  config.learning_rate = rate / data.std[0] ** 2
  config.clamp = True
  config.num_steps = 200_000


def _edd(config, data, chosen):
  """IDC in segments; what the draft leaves open is a field here."""
  number = chosen.segments or (5 if chosen.ipc % 5 == 0 else 1)
  _idc(config, data, chosen)
  config.learning_rate /= number  # of the samples of a segment
  config.segments = dict(
      num=number, drop_correct=0.5, at_least=64, anchor_weight=0.1,
      recipe=_recipe("idc", data) | dict(num_epochs=300),
  )


def _ncfm(config, data, chosen):
  del data, chosen
  config.parameterization = _parameterization("multi_formation")
  config.augmentation = dict(kind="idc", strategy="color_crop_cutout")
  config.batch_size = 1_024
  config.num_frequencies = 1_024
  config.frequency_scale = 1.0
  config.amplitude = 0.5
  config.calibration = 1.0
  config.pool = dict(num_networks=20, num_epochs=60, step_size=0.01)
  config.optimizer = "adam"
  config.beta1 = 0.9
  config.learning_rate = 0.001
  config.clamp = True
  config.num_steps = 20_000


def _hybrid(config, data, chosen):
  gradients(config, data, chosen)
  config.covariances = 0.0
  config.weights = (0.5, 0.5)


METHODS = {
    "cafe": _cafe,
    "dc": _dc,
    "dm": _dm,
    "dsa": gradients,
    "edd": _edd,
    "hybrid": _hybrid,
    "idc": _idc,
    "ncfm": _ncfm,
}


_RECIPE_OF = dict.fromkeys(METHODS, "dsa") | dict(
    cafe="cafe", dc="dc", edd="idc", idc="idc"
)


def _recipe(name: str, data) -> dict:
  """How networks are trained on the set, as published for a data set."""
  dc = dict(num_epochs=300, strategy="")
  if not data.mirrored and len(data.mean) == 1:  # MNIST
    dc = dict(num_epochs=1_000, strategy="crop_scale_rotate")
  published = {
      "cafe": dict(num_epochs=600),
      "dc": dc,
      "dsa": dict(num_epochs=1_000, strategy=data.strategy),
      "idc": dict(num_epochs=1_000, mix=0.5,
                  strategy=data.strategy.replace("_cutout", "")),
  }
  return dict(name=name, **one_of(published, "recipe", name))


def _parameterization(name: str) -> dict:
  arguments = {
      "hallucinator": dict(num_styles=5),
      "linear_bases": dict(num_bases=16, reduction=2),
      "multi_formation": dict(factor=2),
  }
  return dict(name=name, **arguments.get(name, {}))
