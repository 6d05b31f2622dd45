"""The configuration that the trajectory methods share, on any images.

MTT (Cazenavette et al., 2022, arXiv 2203.11932), FTD (Du et al., 2023, arXiv
2211.11004), TESLA (Cui et al., 2023, arXiv 2211.10586) and DATM (Guo et al.,
2023, arXiv 2310.05773), with what each published for CIFAR-10; other data sets
take the same, without ZCA. A size that was not published takes the settings of
the next smaller one; TESLA's beyond one sample a class are those of MTT.
"""

import options
from configs.datasets import DATASETS
from configs.matching import choose_start, common

from distill_jax.choices import one_of
from distill_jax.errors import ConfigError

# By samples per class: student's steps, first epoch that is never a start,
# rate of samples and of the step size, first step size, whether ZCA.
_MTT = {
    1: (50, 2, 100.0, 1e-7, 0.01, True),
    10: (30, 20, 100.0, 1e-5, 0.001, True),
    50: (30, 40, 1000.0, 1e-5, 0.001, False),
}
_FTD = {
    1: (50, 2, 100.0, 1e-7, 0.01, True),
    10: (30, 20, 100.0, 1e-5, 0.001, True),
    50: (30, 40, 1000.0, 1e-5, 0.01, True),
}
# The released code halves the gradient of the samples: 1000 is 500 of ours.
_TESLA = _MTT | {1: (50, 5, 500.0, 1e-7, 0.01, False)}
_DATM = {
    1: (80, 4, 100.0, 1e-7, 0.01, True),
    10: (80, 20, 100.0, 1e-5, 0.01, True),
    50: (80, 40, 1000.0, 1e-5, 0.01, True),
    500: (40, 60, 50.0, 1e-5, 0.01, True),
    1000: (100, 60, 50.0, 1e-5, 0.01, True),
}
# FTD's weight of the surrogate gap, and decay of the average of its samples.
_FLAT = {1: (0.3, 0.9999), 10: (0.3, 0.9995), 50: (1.0, 0.999)}
# DATM's lowest start, first bound, steps until the last, batch of the student,
# rate of labels, loss above which a step is skipped.
_ALIGNED = {
    1: (0, 4, 1, 0, 5.0, 1.1),
    10: (0, 10, 1_000, 0, 2.0, 1.0),
    50: (0, 20, 2_000, 0, 2.0, 1.0),
    500: (40, 60, 1, 1_000, 10.0, 1.0),
    1000: (40, 60, 1, 1_000, 10.0, 1.0),
}


def trajectories(method: str, dataset: str):
  """`get_config` of a method on a data set.

  Options after the colon: `ipc=N` (samples per class), `width=W` (of the
  ConvNet), `experts=N`, `init=real|correct|noise|class_mean|kmeans|herding`
  (correct: samples that experts classify correctly),
  `parameterization=pixels|multi_formation|linear_bases|hallucinator`,
  `preprocessing=standardise|zca` (instead of the published),
  `recipe=mtt|datm|dsa` (of the evaluation, instead of the method's own),
  `learn_labels` (as DATM always does),
  `quick` (on the embedded digits).
  """

  def get_config(text=None):
    chosen = options.parse(
        text, ipc=10, width=0, experts=0, init="", parameterization="",
        preprocessing="", recipe="", learn_labels=False, quick=False,
    )
    chosen.width = chosen.width or (16 if chosen.quick else 128)
    chosen.experts = chosen.experts or (2 if chosen.quick else 100)
    for name in ("ipc", "experts"):
      if getattr(chosen, name) < 1:
        raise ConfigError(
            f"`{name}` must be at least 1; got {getattr(chosen, name)}."
        )
    data, published = DATASETS[dataset], _row(_TABLES[method], chosen)
    if not chosen.preprocessing:
      zca = published[-1] and dataset == "cifar10"
      chosen.preprocessing = "zca" if zca else ""
      if chosen.quick:  # on other data
        chosen.preprocessing = "standardise"
    config = common(data, chosen)
    config.method = method
    _mtt(config, data, chosen, published)
    _OWN[method](config, chosen)
    name = chosen.recipe or ("datm" if method == "datm" else "mtt")
    config.recipe = dict(
        name=one_of(("datm", "dsa", "mtt"), "recipe", name), num_epochs=1_000,
        strategy=data.strategy,
    )
    choose_start(config, chosen)
    if chosen.quick:
      _quick(config)
    return config

  return get_config


def _mtt(config, data, chosen, published):
  steps, highest, rate, step_size_rate, step_size, _ = published
  config.experts = dict(
      num=chosen.experts, num_epochs=50, step_size=0.01, momentum=0.0,
      weight_decay=0.0, batch_size=256, strategy=data.strategy,
      radius=0.0, surrogate_gap=0.0, dtype="float32", seed=0, at_once=0,
  )
  config.student = dict(num_steps=steps, batch_size=0, freeze=False)
  config.segment = dict(
      span=2, lowest=0, first=highest, highest=highest, growth="interpolated",
      until=1,
  )
  config.label_space = "raw"
  config.label_beta1 = 0.9
  config.step_size = step_size
  config.step_size_learning_rate = step_size_rate
  config.step_size_floor = 1e-6
  config.learning_rate = rate
  config.skip_above = 0.0
  config.spike = 10.0
  config.rollbacks = 5
  config.num_steps = 5_000
  config.log_every, config.checkpoint_every = 20, 100


def _ftd(config, chosen):
  config.experts.radius = 0.01
  config.experts.surrogate_gap, config.average = _row(_FLAT, chosen)


def _tesla(config, chosen):
  del chosen
  config.student.freeze = True
  config.num_steps = 10_000


def _datm(config, chosen):
  lowest, first, until, batch, rate, threshold = _row(_ALIGNED, chosen)
  config.experts.num_epochs = 100
  config.experts.radius, config.experts.surrogate_gap = 0.01, 0.3
  config.segment.lowest, config.segment.first = lowest, first
  config.segment.until = until
  config.student.batch_size = batch
  config.label_space = "logits"
  config.start, config.start_labels = "correct", "experts"
  config.learn_labels, config.label_learning_rate = True, rate
  config.skip_above = threshold
  config.num_steps = 10_000


_TABLES = dict(mtt=_MTT, ftd=_FTD, tesla=_TESLA, datm=_DATM)
_OWN = dict(
    mtt=lambda config, chosen: None, ftd=_ftd, tesla=_tesla, datm=_datm
)
METHODS = tuple(sorted(_OWN))


def _row(table, chosen):
  """The settings of a number of samples per class, or the next smaller."""
  return table[max(size for size in table if size <= chosen.ipc)]


def _quick(config):
  """Small, on the digits that scikit-learn carries."""
  config.data = "digits"
  config.network.depth = 1
  strategy = "color_crop_scale_rotate"
  config.augmentation.strategy = config.experts.strategy = strategy
  config.experts.num_epochs, config.experts.batch_size = 6, 64
  config.experts.step_size = 0.1
  config.segment.lowest, config.segment.first = 0, 2
  config.segment.highest, config.segment.until = 4, 20
  config.student.num_steps = 5
  config.student.batch_size = 0
  config.step_size, config.learning_rate = 0.1, 10.0
  config.step_size_learning_rate = 1e-3
  config.num_steps, config.log_every, config.checkpoint_every = 40, 10, 20
  config.recipe.num_epochs, config.recipe.strategy = 60, strategy
  config.evaluation.num_networks = 3
  config.evaluation.num_sets, config.evaluation.networks_per_set = 2, 1
  config.evaluation.baselines = "random_real"
