"""The arms of a privacy audit: makers, all real data, and private training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from distill_jax.applications import accounting
from distill_jax.applications.makers import (
    check_list,
    check_names,
    check_sound,
    maker,
)
from distill_jax.applications.settings import check_counts, smallest_class
from distill_jax.applications.shadows import Arm
from distill_jax.applications.small_sets import (
    Maker,
    bytes_of_sample,
    rows_of_bytes,
)
from distill_jax.errors import ConfigError, plain
from distill_jax.evaluation import private, recipes


def arms_of(
    half,
    arms: Sequence[Any],
    *,
    per_class: int,
    network: Any,
    recipe: Mapping[str, Any] | None,
    early_steps: Sequence[int] = (),
    epsilons: Sequence[float] = (),
    delta: float = 1e-5,
    noised: Mapping[str, Any] | None = None,
    dp_sgd: Mapping[str, Any] | None = None) -> tuple[Arm, ...]:
  """Returns all arms, checked; the other arguments are those of `privacy.run`.

  Args:
    half: the data of one pipeline.
  """
  if arms or not (early_steps or epsilons):
    check_list(arms, "arms")
  num_rows = per_class * len(half.train.present)
  if per_class > (most := smallest_class(half)):
    raise ConfigError(
        "`per_class` must be at most half of the candidates of a class, "
        f"{most}; got {per_class}. Ask for fewer, or more `num_candidates`.")
  if recipe is not None:
    recipes.from_spec(recipe)
  made = []
  for given in arms:
    if given == "byte_matched_real":
      budget = num_rows * bytes_of_sample(half, exact=False)
      real = maker("random_real")._replace(name=given)
      made.append(Arm(real, rows_of_bytes(half, budget), recipe))
    else:
      one = _with_start(given)
      check_sound(one, half, num_rows, network)
      made.append(Arm(one, num_rows, recipe))
  for num in early_steps:
    stopped = maker("all_real")._replace(name=f"all_real_{num}")
    made.append(Arm(stopped, num_rows, _shortened(recipe, num)))
  for epsilon in epsilons:
    accounting.check_guarantee(epsilon, delta)
    one = maker(
        dict(noised or {}, name="noised_means", epsilon=epsilon, delta=delta))
    made.append(Arm(one, num_rows, recipe))
    if dp_sgd is not None:
      made.append(_dp_sgd(half, num_rows, epsilon, delta, dp_sgd))
  check_names((arm.name for arm in made), "arms")
  return tuple(made)


def _with_start(given) -> Maker:
  """A maker; without a label, its name also holds its start."""
  one = maker(given)
  spec = given if isinstance(given, Mapping) else {}
  start = spec.get("start")
  if "label" in spec or not isinstance(start, str):
    return one
  return one._replace(name=f"{one.name}_{start}")


def _dp_sgd(half, num_rows: int, epsilon, delta, settings) -> Arm:
  """All real samples, and a network trained on them by DP-SGD.

  A step may draw more samples than it has room for. This is rare, and a part of
  delta accounts for it.
  """
  if "noise_multiplier" in settings:
    raise ConfigError(
        "`dp_sgd` must leave `noise_multiplier` to `epsilons`; got "
        f"{plain(settings)}.")
  spec = recipes.from_spec({**settings, "name": "dp_sgd"}).spec
  size, steps = half.train.num_samples, spec["num_steps"]
  kept = delta - steps * (1 + math.exp(min(epsilon, 100.0))) * private.RARE
  if kept <= 0:
    raise ConfigError(
        "`epsilons` must be smaller for DP-SGD, whose steps take a part of "
        f"delta that grows with epsilon; got {epsilon:g} with delta {delta:g}. "
        "Set dp_sgd=None for no such arm.")
  noise = accounting.noise_scale(
      epsilon,
      kept,
      num_releases=steps,
      rate=min(1.0, spec["batch_size"] / size))
  real = maker("all_real")._replace(name=f"dp_sgd_eps{epsilon:g}")
  return Arm(
      real, num_rows, {
          **spec, "noise_multiplier": noise
      }, (float(epsilon), float(delta)))


def _shortened(recipe, num: int) -> dict[str, Any]:
  counts = ("num_steps", "num_epochs")
  known = recipes.from_spec(recipe).spec if recipe else {}
  count = next((name for name in counts if name in known), None)
  if count is None:
    raise ConfigError(
        "`early_steps` must be empty where `recipe` has no number of steps or "
        f"epochs; got {plain(recipe)}.")
  check_counts(early_steps=num)
  return {**recipe, count: num}
