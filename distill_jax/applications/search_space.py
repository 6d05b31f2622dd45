"""The search space: networks, recipes, or both, as lists of candidates.

The grid of 720 ConvNets is that of Zhao et al., "Dataset Condensation with
Gradient Matching", 2020, arXiv 2006.05929. A part of it is drawn such that
every value, and every pair of values, occurs about equally often.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import models
from distill_jax.applications.settings import listed
from distill_jax.choices import nearest, one_of
from distill_jax.errors import ConfigError, shown
from distill_jax.evaluation import recipes
from distill_jax.evaluation.recipe import Recipe
from distill_jax.nn.specification import FUNCTIONS
from distill_jax.types import Network

_WIDTH, _DEPTH = (32, 64, 128, 256), (1, 2, 3, 4)
_NORM = ("none", "batch", "layer", "instance", "group")
_ACTIVATION = ("sigmoid", "relu", "leaky_relu")
_POOLING = ("none", "max", "average")
GRID = MappingProxyType(
    dict(
        width=_WIDTH,
        depth=_DEPTH,
        norm=_NORM,
        activation=_ACTIVATION,
        pooling=_POOLING))
# Spaces that configurations can name.
SPACES = MappingProxyType({
    "convnets":
        MappingProxyType(
            dict(
                width=(32, 64),
                depth=(2, 3),
                norm=("none", "batch", "instance", "group"),
                activation=("relu", "leaky_relu"),
                pooling=("max", "average"))),
    "convnets_720": GRID,
    "small_convnets":
        MappingProxyType(
            dict(
                width=(8, 16, 32),
                depth=(1, 2),
                norm=("none", "instance", "batch", "group"),
                pooling=("max", "average"))),
    "step_sizes":
        MappingProxyType(
            dict(
                step_size=(
                    1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2,
                    5e-2, 0.1)))
})


class Candidate(NamedTuple):
  """One network or recipe that can be chosen.

  Attributes:
    network: a specification, a `Network`, or None for the network of the
      search.
    recipe: settings that differ from the recipe of the search.
  """

  network: Mapping[str, Any] | Network | None = None
  recipe: Mapping[str, Any] = MappingProxyType({})

  @property
  def fields(self) -> dict[str, str]:
    """The fields in which candidates may differ: texts by name."""
    network = self.network
    if isinstance(network, Network):
      network = models.spec_of(network)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in {
            **(network or {}),
            **self.recipe
        }.items()
    }

  def model(self, default: Mapping[str, Any], num_classes: int) -> Network:
    """The candidate's network; `default` if the candidate names none."""
    if isinstance(self.network, Network):
      return self.network
    return models.from_spec(self.network or default, num_classes)


def conv_grid(
    *,
    width: Sequence[int] = _WIDTH,
    depth: Sequence[int] = _DEPTH,
    norm: Sequence[str] = _NORM,
    activation: Sequence[str] = _ACTIVATION,
    pooling: Sequence[str] = _POOLING) -> list[dict[str, Any]]:
  """Specifications of ConvNets in all combinations, 720 by default.

  Args:
    width: channels of every block.
    depth: numbers of blocks.
    norm: names of `nn.specification`: none, batch, layer, instance, group.
    activation: sigmoid, relu, leaky_relu, or others of `nn.specification`.
    pooling: none, max, average.

  Raises:
    ConfigError: an unknown name, or a field without values.

  Example:
    space = conv_grid(width=(32, 64), depth=(2, 3), pooling=("max", "average"))
  """
  for field, names in (("norm", norm), ("activation", activation), ("pool",
                                                                    pooling)):
    for name in names:
      one_of(FUNCTIONS[field], "pooling" if field == "pool" else field, name)
  named = dict(
      depth=depth, width=width, norm=norm, activation=activation, pool=pooling)
  return [dict(name="convnet", **point) for point in _product(named)]


def recipe_grid(**fields: Sequence[Any]) -> list[dict[str, Any]]:
  """Settings of a recipe in all combinations.

  Args:
    **fields: values of each setting: `step_size=(0.001, 0.01), ...`.

  Example:
    space = recipe_grid(step_size=(0.001, 0.01), batch_size=(32, 100))
  """
  return _product(fields)


def candidates(space: Any, recipe: Mapping[str, Any]) -> list[Candidate]:
  """The candidates of a space.

  Args:
    space: one of
      a name of `SPACES`;
      fields with their values: those of `conv_grid` make networks, all others
      are settings of the recipe;
      a list of networks, of specifications of networks `{"name": ...}`, of
      settings of the recipe, of recipes of the same name, or of `Candidate`s.
    recipe: specification of the recipe whose settings candidates change.

  Raises:
    ConfigError: an unknown name, a setting that the recipe does not have, a
      repeated candidate, or fewer than two.
  """
  if isinstance(space, str):
    space = one_of(dict(SPACES), "space", space)
  if isinstance(space, Mapping):
    ours = {k: v for k, v in space.items() if k in GRID}
    others = {k: v for k, v in space.items() if k not in GRID}
    networks = conv_grid(**_one_of_each(ours)) if ours else [None]
    made = [
        Candidate(network, settings)
        for network in networks
        for settings in recipe_grid(**others)
    ]
  else:
    made = [_candidate(one, recipe) for one in listed("space", space)]
  known = recipes.from_spec(recipe).spec
  for one in made:
    for name in one.recipe:
      if name not in known:
        raise ConfigError(
            f"`space` must hold settings of `recipe`, here of {known['name']}: "
            f"{', '.join(sorted(known.keys() - {'name'}))}; or, as a mapping "
            f"of lists, fields of ConvNets: {', '.join(GRID)}; got "
            f"{shown(name)}.{nearest([*known, *GRID], name)}")
    recipes.from_spec({**recipe, **one.recipe})  # refuses wrong values
  seen = [json.dumps(one.fields, sort_keys=True) for one in made if one.fields]
  if len(set(seen)) < len(seen):
    twice = next(one for one in seen if seen.count(one) > 1)
    raise ConfigError(
        f"`space` must hold each candidate once; got {shown(twice, 80)} twice.")
  if len(made) < 2:
    raise ConfigError(
        f"`space` must hold at least two candidates; got {len(made)}.")
  return made


def fits_images_alone(space: Any) -> bool:
  """Whether a space given by name or by fields makes ConvNets.

  Args:
    space: see `candidates`; lists of candidates are not examined.
  """
  if isinstance(space, str):
    space = SPACES.get(space, {})
  return isinstance(space, Mapping) and any(name in GRID for name in space)


def sampled(space: Sequence[Any], num: int, seed: int = 0) -> list[Any]:
  """A stratified sample, in the order of the space.

  Each next candidate is the one whose values, and pairs of values, have been
  drawn least so far. Ties are broken at random.

  Args:
    space: candidates, or specifications.
    num: size of the sample; a space with no more candidates is taken whole.
    seed: seed of the choice among ties.
  """
  if num < 1:
    raise ConfigError(f"`num` must be at least 1; got {num}.")
  if num >= len(space):
    return list(space)
  fields = [(one if isinstance(one, Candidate) else Candidate(one)).fields
            for one in space]
  names = sorted(set().union(*fields))
  single = [[(n, f.get(n)) for n in names] for f in fields]
  traits = [s + list(itertools.combinations(s, 2)) for s in single]
  order = np.asarray(jax.random.permutation(jax.random.key(seed), len(space)))
  seen: dict[Any, int] = {}
  free, chosen = [int(i) for i in order], []
  for _ in range(num):
    best = min(free, key=lambda i: sum(seen.get(t, 0) for t in traits[i]))
    free.remove(best)
    chosen.append(best)
    for trait in traits[best]:
      seen[trait] = seen.get(trait, 0) + 1
  return [space[i] for i in sorted(chosen)]


def labels(chosen: Sequence[Candidate]) -> list[str]:
  """Short names of candidates, made of the fields in which they differ."""
  fields = [one.fields for one in chosen]
  names = list(dict.fromkeys(name for f in fields for name in f))
  told = [n for n in names if len({f.get(n) for f in fields}) > 1]
  made = [" ".join(f"{n}={f[n]}" for n in told if n in f) for f in fields]
  return [
      text if text and made.count(text) == 1 else f"{text or 'network'} {i + 1}"
      for i, text in enumerate(made)
  ]


def _candidate(one, recipe) -> Candidate:
  if isinstance(one, Candidate):
    return one
  if isinstance(one, Recipe):
    one = one.spec
  if isinstance(one, Network):
    return Candidate(one)
  if isinstance(one, str):
    one = dict(name=one)
  if not isinstance(one, Mapping):
    raise ConfigError(
        "`space` must hold networks, settings of the recipe or candidates; got "
        f"{shown(one)}.")
  name = one.get("name")
  if name is None or name in recipes.RECIPES:
    if name not in (None, recipe["name"]):
      raise ConfigError(
          f"`space` must hold recipes of the name {recipe['name']!r}, that of "
          f"`recipe`; got {name!r}. Change `recipe`.")
    return Candidate(None, {k: v for k, v in one.items() if k != "name"})
  one_of(models.NETWORKS, "space", name)
  return Candidate(one)


def _one_of_each(fields):
  """Fields of ConvNets; those that are not searched have one value."""
  usual = dict(
      width=(32,),
      depth=(3,),
      norm=("instance",),
      activation=("relu",),
      pooling=("average",))
  return {**usual, **fields}


def _product(fields: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
  for name, values in fields.items():
    if not isinstance(values, list | tuple) or not values:
      raise ConfigError(
          f"`{name}` must be a list of values; got {shown(values)}.")
  return [
      dict(zip(fields, point, strict=True))
      for point in itertools.product(*fields.values())
  ]
