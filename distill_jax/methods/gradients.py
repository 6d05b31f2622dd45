"""Gradient matching as methods: DC, DSA and IDC; see `objectives.dc`."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jax

from distill_jax import augmentation, data, distances
from distill_jax.choices import one_of
from distill_jax.data.sampling import with_extra
from distill_jax.errors import ConfigError
from distill_jax.methods.method import Method, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import (
    STORED,
    USE,
    augmented,
    built,
    drawn_per_class,
)
from distill_jax.methods.traits import Traits
from distill_jax.mixing import cutmix
from distill_jax.objectives import network_training
from distill_jax.objectives.dc import gradient_matching
from distill_jax.outer_loop import label_simplex

DISTANCES = {
    "absolute": distances.absolute,
    "by_output": distances.by_output,
    "cosine": distances.cosine,
    "kernels_absolute": distances.of_kernels(distances.absolute),
    "kernels_squared": distances.of_kernels(distances.squared),
    "squared": distances.squared
}
_MIXED = 64  # batch size of real samples that IDC trains its networks on
# By samples per class: number of matches on one network, and number of epochs
# that the network is trained between two matches.
_PUBLISHED = {
    1: (1, 1),
    10: (10, 50),
    20: (20, 25),
    30: (30, 20),
    40: (40, 15),
    50: (50, 10)
}
# The outer optimizer that the papers of gradient and distribution matching use.
SGD = dict(
    optimizer="sgd",
    learning_rate=0.1,
    label_learning_rate=0.01,
    schedule="constant",
    beta1=0.5)
# A trial run of a minute, long enough for networks to learn the set.
QUICK = dict(num_steps=30, batch_size=32, recipe=dict(num_epochs=150))

GRADIENTS = dict(
    **STORED,
    **USE,
    **OUTER,
    **LABELS,
    num_steps=600,
    batch_size=64,
    distance="by_output",
    steps_per_network=10,
    epochs_between=5,
    network_step_size=0.01)


def recipes_of(traits: Traits) -> dict[str, dict[str, Any]]:
  """The published recipes of training networks on a set, by name."""
  dc = dict(num_epochs=300, strategy="")
  if not traits.mirrored and traits.grey:  # MNIST
    dc = dict(num_epochs=1_000, strategy="crop_scale_rotate")
  usual = traits.strategy
  return {
      "cafe": dict(name="cafe", num_epochs=600),
      "dc": dict(name="dc", **dc),
      "dsa": dict(name="dsa", num_epochs=1_000, strategy=usual),
      "idc":
          dict(
              name="idc",
              num_epochs=1_000,
              mix=0.5,
              strategy=usual.replace("_cutout", ""))
  } | {
      name: dict(name=name, num_epochs=1_000, strategy=usual)
      for name in ("datm", "mtt")
  }


def published_dsa(per_class: int, traits: Traits,
                  given: Mapping) -> dict[str, Any]:
  """DSA's settings; sizes that are not published follow the same rule."""
  del given
  steps, epochs = _PUBLISHED.get(
      per_class, (per_class, max(500 // per_class, 1)))
  return SGD | dict(
      batch_size=256,
      strategy=traits.strategy,
      steps_per_network=steps,
      epochs_between=epochs,
      num_steps=1_000 * steps,
      recipe=recipes_of(traits)["dsa"])


def published_dc(per_class, traits, given):
  """DC's settings: no augmentation, and a start from noise."""
  return published_dsa(per_class, traits, given) | dict(
      strategy="", start="noise", recipe=recipes_of(traits)["dc"])


def matched_gradients(s: SimpleNamespace, task: Task):
  """The objective of DC; with a non-empty augmentation, of DSA."""
  augment = augmented(s.strategy, task)
  return gradient_matching(
      task.model,
      task.layout.members,
      sample=drawn_per_class(s.batch_size, task),
      num_classes=task.source.num_classes,
      distance=one_of(DISTANCES, "distance", s.distance),
      augmentation=augment,
      training=network_training.on_samples(
          task.model,
          num_epochs=s.epochs_between,
          step_size=s.network_step_size,
          augmentation=augment),
      steps_per_network=s.steps_per_network,
      anchor=task.anchor)


@declare(
    GRADIENTS,
    paper="Zhao & Bilen, Dataset Condensation with Differentiable Siamese "
    "Augmentation, 2021, arXiv 2102.08259",
    loss="distance of gradients",
    cost="second derivatives; training of a network between steps",
    published=published_dsa,
    quick=QUICK)
def dsa(s: SimpleNamespace) -> Method:
  """Matches gradients of real and distilled samples, augmented alike."""
  return built(
      s,
      lambda task: matched_gradients(s, task),
      anchors=True,
      drawn=s.batch_size,
      constraint=label_simplex if s.learn_labels else None,
      recipe=dict(name="dsa", num_epochs=300, strategy=None))


@declare(
    GRADIENTS | dict(strategy=""),
    paper="Zhao, Mopuri & Bilen, Dataset Condensation with Gradient Matching, "
    "2020, arXiv 2006.05929",
    loss="distance of gradients",
    cost="as dsa",
    published=published_dc,
    quick=QUICK)
def dc(s: SimpleNamespace) -> Method:
  """Matches gradients of real and distilled samples, class by class."""
  return built(
      s,
      lambda task: matched_gradients(s, task),
      anchors=True,
      drawn=s.batch_size,
      constraint=label_simplex if s.learn_labels else None,
      recipe=dict(name="dc", num_epochs=300, strategy=""))


def published_idc(per_class, traits: Traits, given) -> dict[str, Any]:
  """IDC's settings; its rate for pixels in [0, 1] is scaled to model space."""
  del given
  rate = (1e-4 if traits.grey else 5e-3) * (per_class / 10)
  rate *= (traits.side / traits.reference_side)**2
  mixes = not (traits.grey and not traits.mirrored)
  return SGD | dict(
      batch_size=64,
      strategy="color_crop_cutout",
      parameterization=dict(name="multi_formation", factor=2),
      distance="kernels_absolute" if traits.grey else "kernels_squared",
      steps_per_network=100,
      batches_between=8 if traits.grey else 32,
      mix=0.5 if mixes else 0.0,
      learning_rate=rate / traits.std**2,
      clamp=True,
      num_steps=200_000,
      recipe=recipes_of(traits)["idc"])


IDC = dict(
    **STORED,
    **USE,
    **OUTER,
    **LABELS,
    num_steps=800,
    batch_size=64,
    steps_per_network=100,
    batches_between=2,
    mix=0.5) | dict(
        distance=None,
        parameterization={
            "name": "multi_formation",
            "factor": 2
        },
        learning_rate=0.03)


def _squared(task: Task) -> str:
  """The squared distance; of convolution kernels only, if there are any."""
  shapes = jax.eval_shape(
      task.model.init, jax.random.key(0), task.source.example)["params"]
  convolves = any(leaf.ndim == 4 for leaf in jax.tree.leaves(shapes))
  return "kernels_squared" if convolves else "squared"


def matched_on_real(s: SimpleNamespace, task: Task):
  """The objective of IDC, whose networks are trained on real data."""
  images = len(task.source.example.shape) == 4
  strategy = s.strategy
  if strategy is None:
    strategy = "color_crop_cutout" if images else ""
  own = augmented(strategy, task, augmentation.idc)
  trained = "_".join(n for n in strategy.split("_") if n and n != "cutout")
  size = min(_MIXED, task.source.train.num_samples)
  return gradient_matching(
      task.model,
      task.layout.members,
      sample=with_extra(
          drawn_per_class(s.batch_size, task),
          data.mixed(size, num_batches=s.batches_between)),
      num_classes=task.source.num_classes,
      distance=one_of(DISTANCES, "distance", s.distance or _squared(task)),
      augmentation=own,
      training=network_training.on_real(
          task.model,
          num_classes=task.source.num_classes,
          augmentation=augmented(trained, task, augmentation.idc),
          mixing=cutmix(s.mix) if s.mix and images else None),
      steps_per_network=s.steps_per_network,
      at_most=128,
      anchor=task.anchor)


def check_idc(s: SimpleNamespace, task: Task) -> None:
  """Refuses to draw more different samples than the training data have."""
  wanted, there = _MIXED * s.batches_between, task.source.train.num_samples
  if s.batches_between > 1 and wanted > there:
    raise ConfigError(
        f"`batches_between` must be batches of {_MIXED} of the {there} "
        f"training samples; got {s.batches_between}. Lower it.")


@declare(
    IDC,
    paper="Kim et al., Dataset Condensation via Efficient Synthetic-Data "
    "Parameterization, 2022, arXiv 2205.14959",
    loss="distance of gradients",
    cost="as dsa, on four times the samples",
    published=published_idc,
    quick=QUICK)
def idc(s: SimpleNamespace) -> Method:
  """Matches gradients on networks trained on real data; stores small images.

  For data that are not images, give `parameterization={"name": "pixels"}`.
  """
  return built(
      s,
      lambda task: matched_on_real(s, task),
      check=lambda t: check_idc(s, t),
      anchors=True,
      drawn=s.batch_size,
      constraint=label_simplex if s.learn_labels else None,
      recipe=dict(name="idc", num_epochs=300, mix=0.5, strategy=None))
