"""Ranks architectures and training settings by training on a small set.

Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929, train every network of a grid on a distilled set and ask whether it
ranks them as all data do. Here any list of networks or settings is searched, on
sets of any maker. They are compared with random real samples, with as many real
samples as fit the same bytes, and with training on real data stopped early.

What differs: papers choose by test accuracy. Here everything is chosen on
validation data, and the test split is used once, for the chosen candidates.
Correlations are over all candidates and have bootstrap intervals, and the cost
includes making the sets.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from distill_jax import models
from distill_jax.applications import search_arms, search_report
from distill_jax.applications.cells import Cells, cells_of, key_of
from distill_jax.applications.findings import Findings
from distill_jax.applications.makers import check_sound
from distill_jax.applications.search_arms import Arm
from distill_jax.applications.search_space import (
    SPACES,
    Candidate,
    candidates,
    conv_grid,
    fits_images_alone,
    labels,
    recipe_grid,
    sampled,
)
from distill_jax.applications.search_training import trained
from distill_jax.applications.settings import (
    check_counts,
    check_optional,
    check_per_class,
    check_seed,
    is_whole,
    listed,
    specified,
)
from distill_jax.artifact import Artifact
from distill_jax.choices import one_of
from distill_jax.data.source import Split, check_source
from distill_jax.errors import ConfigError, DataError, plain, shown
from distill_jax.evaluation import ranking, recipes
from distill_jax.evaluation.recipe import Recipe
from distill_jax.types import Array, Network, TrainingSet

__all__ = [
    "Candidate", "candidates", "conv_grid", "labels", "recipe_grid", "run",
    "sampled", "scores"
]

# Adam for 300 updates with cosine decay: 300 epochs of a set of 100 samples.
RECIPE = MappingProxyType(
    dict(
        name="rat_bptt",
        num_steps=300,
        batch_size=100,
        step_size=0.001,
        last_rate=0.0))
ARMS = (
    "random_real", "class_mean", "dm", "early_stopping", "byte_matched_real")
_DRAW, _NETWORK = 1, 2  # for `key_of`; 0 and 3 are used in other modules


def run(
    source,
    *,
    cells: Cells | None = None,
    seed: int = 0,
    space: Any = "auto",
    num_candidates: int = 48,
    arms: Sequence[Any] = ARMS,
    per_class: int = 10,
    network: Any = None,
    recipe: Mapping[str, Any] | Recipe = RECIPE,
    num_networks: int = 1,
    num_truth_samples: int = 10_000,
    truth_epochs: int = 5,
    topk: Sequence[int] = (5, 10, 20),
    topk_by: str = "full",
    num_resamples: int = 2_000) -> Findings:
  """Ranks candidates on each arm and on all data, and compares the rankings.

  Args:
    source: real data with validation and test parts.
    cells: where results are kept; in memory by default. There is one cell for
      each candidate, arm and network.
    seed: seed of everything that is drawn.
    space: see `candidates`; "auto" is "small_convnets" for images, and
      "step_sizes" for other data.
    num_candidates: largest number of candidates, at least two; larger spaces
      are sampled, see `sampled`.
    arms: makers of sets (see `makers.maker`), "early_stopping" and
      "byte_matched_real"; see `search_arms`.
    per_class: label rows per class in a set.
    network: specification of the network that methods distil with, and that is
      trained if candidates name none. By default one that suits the data, which
      also replaces a ConvNet if the data are not images.
    recipe: how candidates are trained on every arm, with cross-entropy, for a
      number of updates or epochs; candidates may change its settings.
    num_networks: networks trained per candidate; network i starts from the same
      key on every arm.
    num_truth_samples: real samples that stand for all data; 0 for all of them.
    truth_epochs: epochs on these samples.
    topk: numbers of best candidates for which rho is also given, beside that of
      all candidates.
    topk_by: "full" or "proxy": which accuracies say what the best candidates
      are.
    num_resamples: number of bootstrap draws.

  Returns:
    `Findings` with a row for each arm; `table` has the validation accuracies of
    every candidate.

  Raises:
    ConfigError, DataError: there is no validation or test part, or a setting is
      not possible.
  """
  check_source(source)
  cells = cells_of(cells)
  check_counts(
      per_class=per_class,
      num_networks=num_networks,
      truth_epochs=truth_epochs,
      num_resamples=num_resamples)
  check_optional(num_truth_samples=num_truth_samples)
  check_seed(seed)
  topk = listed("topk", topk)
  ranking.check_top(topk, topk_by)
  _check_parts(source)
  check_per_class(source, per_class)
  if not isinstance(recipe, Recipe):
    recipe = recipes.from_spec(specified("recipe", recipe))
  recipe = recipe.spec
  images = len(source.example.shape) == 4
  if not is_whole(num_candidates) or num_candidates < 2:
    raise ConfigError(
        "`num_candidates` must be a whole number of at least 2, or there is "
        f"nothing to choose; got {shown(num_candidates)}.")
  space = _known_space(space, images)
  if not images:
    network = _unless_convnet(network)
  chosen = sampled(candidates(space, recipe), num_candidates, seed)
  default = _default(network, source)
  several = any(one.network is not None for one in chosen)
  made, real = search_arms.check(arms, recipe, several=several)
  for one in made:
    num_rows = per_class * len(source.train.present)
    check_sound(one, source, num_rows, default)
  for one in chosen:
    models.check_fits(one.model(default, source.num_classes), source)
  compared = [
      *search_arms.proxies(
          source,
          made,
          real,
          cells=cells,
          seed=seed,
          per_class=per_class,
          network=default,
          recipe=recipe,
          several=several),
      search_arms.truth(
          key_of(seed, _DRAW, 2),
          source,
          recipe,
          num_samples=num_truth_samples or None,
          num_epochs=truth_epochs)
  ]
  trainer = partial(
      trained, [key_of(seed, _NETWORK, i) for i in range(num_networks)],
      recipe=recipe,
      network=default,
      cells=cells)
  found = trainer(chosen, compared, source.validation)
  document = search_report.findings(
      chosen,
      compared,
      found,
      lambda few, names: trainer(
          few, compared[-1:], source.test, place="test", names=names),
      partial(
          ranking.agreement,
          topk=topk,
          topk_by=topk_by,
          num_resamples=num_resamples),
      seed,
      settings=dict(
          space=_as_json(space),
          num_candidates=len(chosen),
          arms=[arm.name for arm in compared[:-1]],
          makers=[maker.spec for maker in made],
          per_class=per_class,
          network=default,
          recipe=recipe,
          num_networks=num_networks,
          num_truth_samples=compared[-1].num_images,
          truth_epochs=truth_epochs,
          topk_by=topk_by,
          num_resamples=num_resamples,
          num_train=source.train.num_samples,
          num_validation=source.validation.num_samples))
  document["data"] = source.name
  return document


def scores(
    key: Array,
    space: Sequence[Any],
    training_set: TrainingSet | Artifact,
    split: Split,
    *,
    recipe: Mapping[str, Any] | Recipe = RECIPE,
    network: Mapping[str, Any] | None = None,
    num_networks: int = 1) -> np.ndarray:
  """Accuracies of candidates that are trained on a set.

  Args:
    key: network i uses `fold_in(key, i)`, whatever it is trained on.
    space: networks, specifications, settings or candidates; see `candidates`.
    training_set: an artifact, or arrays with labels for cross-entropy.
    split: real data on which a choice may be made, such as `source.validation`.
    recipe: how candidates are trained; candidates may change its settings.
    network: specification of the network of candidates that name none.
    num_networks: R, networks trained per candidate.

  Returns:
    Accuracies [n, R] in [0, 1]; `ranking.agreement` compares the means of two
    such arrays.

  Example:
    found = scores(key, conv_grid(width=(8, 16)), made, source.validation)
  """
  if isinstance(recipe, Recipe):
    recipe = recipe.spec
  recipe = specified("recipe", recipe)
  if isinstance(training_set, Artifact):
    arm = search_arms.of_artifact("set", training_set)
  else:
    arm = Arm("set", training_set, dict, 0, 0)
  found = trained([jax.random.fold_in(key, i) for i in range(num_networks)],
                  candidates(space, recipe), [arm],
                  split,
                  recipe=recipe,
                  network=network or {},
                  cells=Cells())
  return np.array([[net["accuracy"] for net in one[0]] for one in found])


def _default(network, source) -> dict[str, Any]:
  """Specification of the network that is used if candidates name none."""
  if isinstance(network, Network):
    network = models.spec_of(network) or None
    if network is None:
      raise ConfigError(
          "`network` must have a specification {'name': ...}; got a network "
          "without one. List it in `space`.")
  spec = models.default(source) if network is None else network
  spec = specified("network", spec)
  if not models.is_network(spec):
    raise ConfigError(
        "`network` must be trained by a recipe, as networks are; got "
        f"{plain(spec['name'])}.")
  return spec


def _known_space(space, images: bool) -> Any:
  """Replaces "auto"; raises an error for ConvNets if data are not images."""
  if isinstance(space, str):
    one_of(("auto", *SPACES), "space", space)
    if space == "auto":
      return "small_convnets" if images else "step_sizes"
  if not images and fits_images_alone(space):
    raise ConfigError(
        "`space` must hold no ConvNets, as the data are no images; got "
        f"{shown(_as_json(space))}. Take space='step_sizes', or list networks.")
  return space


def _unless_convnet(network) -> Any:
  """The network, or None (one that suits the data) in place of a ConvNet."""
  spec = dict(name=network) if isinstance(network, str) else network
  convnet = isinstance(spec, Mapping) and spec.get("name") == "convnet"
  return None if convnet else network


def _check_parts(source) -> None:
  for part, why, remedy in (("validation", "that candidates are chosen on",
                             "Read the data with validation_fraction=0.1."),
                            ("test", "for what is chosen in the end",
                             "Give x_test and y_test, or test_fraction=0.2.")):
    split = getattr(source, part)
    if split is None or not split.num_samples:
      raise DataError(
          f"`source` must have a {part} part, {why}; got none. {remedy}")


def _as_json(space) -> Any:
  """A space for the document: its name, its fields, or its length."""
  if isinstance(space, str):
    return space
  if isinstance(space, Mapping):
    return {name: list(values) for name, values in space.items()}
  return f"{len(space)} listed"
