"""From a method's name to its objective.

A method is `(config, source, network, rows) -> Objective`; `rows` says which
decoded samples form the steps of the set and which belong to each class.
"""

from typing import NamedTuple

import optax

from distill_jax import augmentation, data, distances
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.labels import cross_entropy, cross_entropy_of_logits
from distill_jax.mixing import cutmix
from distill_jax.objectives import (
  between,
  cafe,
  combine,
  datm,
  dc,
  dd,
  dm,
  mtt,
  ncfm,
)
from distill_jax.objectives.classes import Anchor
from distill_jax.types import Array, Network, Objective

DISTANCES = {
    "absolute": distances.absolute,
    "by_output": distances.by_output,
    "cosine": distances.cosine,
    "kernels_absolute": distances.of_kernels(distances.absolute),
    "kernels_squared": distances.of_kernels(distances.squared),
    "squared": distances.squared,
}


_MIXED = 64  # real samples in a batch that IDC trains networks on


class Rows(NamedTuple):
  """Attributes:
    order: [S, n], the samples of each step.
    members: [K, m], the samples of each class; None where classes differ in
      number.
    anchor: frozen samples that are matched too, or None.
  """

  order: Array
  members: Array | None
  anchor: Anchor | None = None


def unrolled(config, source, network: Network, rows: Rows) -> Objective:
  """DD, SLDD and TDD."""
  return dd.unrolled(
      network, rows.order,
      sample=data.mixed(min(config.batch_size, source.train.num_samples)),
      num_classes=source.num_classes,
      fixed=config.student_init == "fixed",
      num_networks=config.num_initialisations,
      optimizer=optax.trace(config.momentum) if config.momentum else None,
  )


def gradients(config, source, network: Network, rows: Rows) -> Objective:
  """DC, and DSA where the augmentation is not empty."""
  augment = augmented(config)
  return dc.gradient_matching(
      network, rows.members,
      sample=drawn_per_class(config, source),
      num_classes=source.num_classes,
      distance=one_of(DISTANCES, "distance", config.distance),
      augmentation=augment,
      training=between.on_samples(
          network, num_epochs=config.epochs_between,
          step_size=config.network_step_size, augmentation=augment,
      ),
      steps_per_network=config.steps_per_network,
      anchor=rows.anchor,
      threshold=config.threshold,
  )


def gradients_on_real(config, source, network: Network, rows: Rows):
  """IDC, and EDD, each of whose segments is one."""
  if _MIXED * config.batches_between > source.train.num_samples:
    raise ConfigError(
        f"`batches_between` must be batches of {_MIXED} of the "
        f"{source.train.num_samples} training samples; got "
        f"{config.batches_between}. Lower it."
    )
  trained = dict(config.augmentation)
  trained["strategy"] = "_".join(
      name for name in trained["strategy"].split("_") if name != "cutout"
  )
  return dc.gradient_matching(
      network, rows.members,
      sample=data.sampling.beside(
          drawn_per_class(config, source),
          data.mixed(_MIXED, num_batches=config.batches_between),
      ),
      num_classes=source.num_classes,
      distance=one_of(DISTANCES, "distance", config.distance),
      augmentation=augmented(config),
      training=between.on_real(
          network, num_classes=source.num_classes,
          augmentation=augmented(config, trained),
          mixing=cutmix(config.mix) if config.mix else None,
      ),
      steps_per_network=config.steps_per_network,
      at_most=128,
      anchor=rows.anchor,
  )


def distributions(config, source, network: Network, rows: Rows) -> Objective:
  """DM."""
  distance = distances.means
  if config.covariances:
    distance = distances.means_and_covariances(config.covariances)
  return dm.distribution_matching(
      network, rows.members, sample=drawn_per_class(config, source),
      distance=distance, augmentation=augmented(config),
      anchor=rows.anchor,
  )


def characteristics(config, source, network: Network, rows: Rows) -> Objective:
  """NCFM; its data are the real ones beside a pool of networks."""
  return ncfm.characteristic_matching(
      network, rows.members,
      sample=ncfm.with_member(drawn_per_class(config, source)),
      num_frequencies=config.num_frequencies,
      scale=config.frequency_scale,
      amplitude=config.amplitude,
      calibration=config.calibration,
      augmentation=augmented(config),
  )


def features(config, source, network: Network, rows: Rows) -> Objective:
  """CAFE."""
  return cafe.feature_alignment(
      network, rows.members,
      sample=data.sampling.beside(
          drawn_per_class(config, source, lazy=False),
          data.per_class(config.watched),
      ),
      weights=tuple(config.layer_weights),
      discrimination=config.discrimination,
      augmentation=augmented(config),
      step_size=config.network_step_size,
      settled=config.settled,
      moved=config.moved,
      max_epochs=config.max_epochs,
  )


def hybrid(config, source, network: Network, rows: Rows) -> Objective:
  """Gradient matching and distribution matching."""
  return combine.weighted_sum(
      gradients(config, source, network, rows),
      distributions(config, source, network, rows),
      weights=tuple(config.weights),
  )


def trajectories(config, source, network: Network, rows: Rows) -> Objective:
  """MTT, FTD, TESLA and DATM; what they sample is fed, see `trajectory.py`."""
  del source, rows
  logits = config.label_space == "logits"
  return mtt.trajectory_matching(
      network,
      num_steps=config.student.num_steps,
      batch_size=config.student.batch_size or None,
      augmentation=augmented(config),
      loss=cross_entropy_of_logits if logits else cross_entropy,
      teacher=config.label_space == "probabilities",
      freeze=config.student.freeze,
  )


def start_epochs(segment) -> datm.StartEpochs:
  """Where the segments of `config.segment` start."""
  grow = one_of(
      dict(interpolated=datm.interpolated, one_by_one=datm.one_by_one),
      "segment.growth", segment.growth,
  )
  return grow(segment.lowest, segment.first, segment.highest, segment.until)


METHODS = {
    "cafe": features,
    "datm": trajectories,
    "dc": gradients,
    "dd": unrolled,
    "dm": distributions,
    "dsa": gradients,
    "edd": gradients_on_real,
    "ftd": trajectories,
    "hybrid": hybrid,
    "idc": gradients_on_real,
    "mtt": trajectories,
    "ncfm": characteristics,
    "sldd": unrolled,
    "tdd": unrolled,
    "tesla": trajectories,
}
# Whose samples have no classes and whose students take learned steps.
UNROLLED = ("dd", "sldd", "tdd")
# Those that follow experts.
TRAJECTORIES = ("datm", "ftd", "mtt", "tesla")


def sees_labels(config) -> bool:
  """Whether the loss depends on the labels of the set."""
  if config.method == "ncfm":
    return bool(config.calibration)
  if config.method in TRAJECTORIES:
    return config.label_space != "probabilities"  # a teacher's otherwise
  return config.method not in ("cafe", "dm")


def drawn_per_class(config, source, lazy=True) -> data.sampling.Sampler:
  """`batch_size` samples of each class."""
  data.sampling.check_per_class(
      source.train, config.batch_size, source.class_names,
      argument="batch_size",
  )
  return data.per_class(config.batch_size, lazy=lazy)


def augmented(config, spec=None) -> augmentation.Augmentation:
  """Of `config.augmentation`, or of another such field."""
  spec = dict(spec or config.augmentation)
  kinds = dict(dsa=augmentation.dsa, idc=augmentation.idc)
  make = one_of(kinds, "augmentation.kind", spec["kind"])
  try:
    return make(spec["strategy"])
  except ValueError as error:
    raise ConfigError(f"`augmentation`: {error}") from None
