"""What a distilled set tells about who was in the data: a membership audit.

Dong, Zhao & Lyu, "Privacy for Free: How does Dataset Condensation Help
Privacy?", 2022, arXiv 2206.00240, report attacks near chance; Carlini, Feldman
& Nasr, "No Free Lunch in 'Privacy for Free'", 2022, arXiv 2209.14987, find no
gain over a small random part of the data. The audit puts the whole pipeline
into the loop of the attack: candidates of which it has half -> a set -> a
network trained on it -> its outputs on all candidates; see `membership`.

Arms are makers of sets. Beside them stand all real data of a half, also with
training stopped early, to be compared where accuracies match; and sets with
differential privacy, see `noised_means`. Three checks show whether the audit
itself is sound: members drawn anew and untrained networks must give an area of
1/2, and real samples in the set must be found.

A low score is no evidence of privacy. DP-SGD is not among the arms.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import models, nn
from distill_jax.applications import (
    membership,
    noised_means,
    outputs,
    privacy_report,
)
from distill_jax.applications.cells import Cells
from distill_jax.applications.findings import Findings
from distill_jax.applications.makers import (
    Maker,
    check_counts,
    key_of,
    maker,
    rows_of_bytes,
    stored_bytes,
)
from distill_jax.applications.programs import compiled_once
from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError, DataError, plain
from distill_jax.evaluation import recipes
from distill_jax.labels import classes_of
from distill_jax.methods.method import Keys
from distill_jax.objectives.embedding import embeddings
from distill_jax.parallel import map_rows
from distill_jax.types import Array

_DM = dict(name="dm", num_steps=300, batch_size=32)
ARMS = (
    "all_real", "random_real", "byte_matched_real", dict(_DM, start="noise"),
    dict(_DM, start="real"))
RECIPE = dict(name="converged", num_steps=500, batch_size=64)
_SAME = 1e-8  # of squared lengths, below which two samples are one
# Places of keys.
_CANDIDATES, _KEEP, _MAKE, _TRAIN, _PUBLIC, _REPORT = range(6)


class Candidates(NamedTuple):
  """Who may be a member.

  Attributes:
    source: the candidates as its train split, with the labels that pipelines
      see; an even number of each class.
    rows: [Z] int, of the train split that they were drawn from.
    canary: [Z] bool, those with a wrong label.
  """

  source: Any
  rows: np.ndarray
  canary: np.ndarray

  @property
  def classes(self) -> np.ndarray:
    """[Z] int, the labels that pipelines see."""
    return np.asarray(self.source.train.labels)


class Arm(NamedTuple):
  """Attributes:
    name: in tables.
    maker: of the set.
    num_rows: samples that it is asked for.
    recipe: of the network trained on the set; None for the set's own.
  """

  name: str
  maker: Maker
  num_rows: int
  recipe: Mapping[str, Any] | None


def draw_candidates(
    key: Array, source, num_candidates: int, num_canaries: int) -> Candidates:
  """Draws candidates, equally many of each class, some with a wrong label.

  Canaries of one class get the label of another, around a circle of classes,
  so that numbers of labels stay even and equal.

  Args:
    key: consumed.
    source: of whose train split they are drawn.
    num_candidates: at most; classes have the same even number, or what even
      number there is.
    num_canaries: at most; a multiple of the classes, or below their number.

  Raises:
    ConfigError, DataError: too few candidates or samples.
  """
  labels = np.asarray(source.train.labels)
  present = source.train.present
  each = num_candidates // len(present) // 2 * 2
  if each < 2:
    raise ConfigError(
        "`num_candidates` must be at least two of each class, "
        f"{2 * len(present)}; got {num_candidates}.")
  if num_candidates > len(labels):
    raise ConfigError(
        f"`num_candidates` must be at most the {len(labels):,} samples of the "
        f"train split; got {num_candidates:,}.")
  if num_canaries == 1 or num_canaries > num_candidates // 4:
    raise ConfigError(
        "`num_canaries` must be 0, or 2 to a quarter of the candidates; got "
        f"{num_canaries}.")
  k_rows, k_circle = jax.random.split(key)
  order = np.asarray(jax.random.permutation(k_rows, len(labels)))
  rows, own = [], {}
  for c in present:
    found = order[labels[order] == c][:each]
    found = found[:len(found) // 2 * 2]
    own[c] = np.arange(len(found)) + sum(map(len, rows))
    rows.append(found)
    if not len(found):
      raise DataError(
          "`source` must have two samples of each class; class "
          f"{plain(source.class_names[c])} has one.")
  rows = np.concatenate(rows)
  seen = labels[rows].copy()
  circle = np.asarray(jax.random.permutation(k_circle, present))
  circle = circle[:num_canaries]
  canary = np.zeros(len(rows), bool)
  if len(circle) > 1:
    most = min(len(own[c]) for c in circle) // 2
    for c, label in zip(circle, np.roll(circle, -1), strict=True):
      chosen = own[c][:min(num_canaries // len(circle), most)]
      seen[chosen], canary[chosen] = label, True
  taken = source.take(rows)
  relabelled = taken.train._replace(labels=np.asarray(seen))
  made = taken._replace(train=relabelled).take(np.arange(len(rows)))
  return Candidates(made, rows, canary)


def run(
    source,
    *,
    cells: Cells | None = None,
    seed: int = 0,
    arms: Sequence[Any] = ARMS,
    num_candidates: int = 2_000,
    num_pipelines: int = 16,
    per_class: int = 10,
    num_canaries: int = 20,
    network: Any = None,
    recipe: Mapping[str, Any] | None = RECIPE,
    early_steps: Sequence[int] = (50,),
    epsilons: Sequence[float] = (1.0, 8.0),
    delta: float = 1e-5,
    noised: Mapping[str, Any] | None = None) -> Findings:
  """Audits arms: each is a way from data to a set that a network learns from.

  Args:
    source: data with a test split; candidates are drawn from the train split.
    cells: where results are kept.
    seed: of everything; secret where the sets of `epsilons` are used.
    arms: makers, methods or their specifications; `byte_matched_real` are so
      many random real samples as the bytes of `per_class` distilled ones hold.
      A specification may hold its name in tables as `arm`.
    num_candidates: Z, samples that may be members.
    num_pipelines: N, even and at least 6; each has half of the candidates.
    per_class: samples of a set.
    num_canaries: candidates with a wrong label, reported apart.
    network: that is distilled for and trained; by default what suits the data.
    recipe: of training; None for that of each set. Sets with centred labels,
      step sizes or a fixed initialisation have their own in any case.
    early_steps: numbers of updates (or epochs, as the recipe counts) after
      which training on all real samples stops, an arm each.
    epsilons: of sets with differential privacy, an arm each.
    delta: theirs.
    noised: further settings of theirs, see `noised_means.maker`.

  Returns:
    `rows` with one entry an arm: accuracy (`mean`, `stderr`, over pipelines),
    `attacks` on the student, `pixels` and `features` (attacks on the set),
    `canaries`, `seen`, `worst_class` and `checks`.

  Raises:
    ConfigError, DataError: before any work.
  """
  cells = cells or Cells()
  check_source(source)
  if source.test is None:
    raise DataError(
        "`source` must have a test split, on which accuracies are compared; "
        "got none.")
  check_counts(
      num_candidates=num_candidates,
      num_pipelines=num_pipelines,
      per_class=per_class)
  candidates = draw_candidates(
      key_of(seed, _CANDIDATES), source, num_candidates, num_canaries)
  keep = membership.keep_matrix(
      key_of(seed, _KEEP), num_pipelines, candidates.classes)
  network = nn.as_network(network) or models.default(source)
  network = dict(name=network) if isinstance(network, str) else network
  known = arms_of(
      candidates.source.take(np.flatnonzero(keep[0])),
      arms,
      per_class=per_class,
      network=network,
      recipe=recipe,
      early_steps=early_steps,
      epsilons=epsilons,
      delta=delta,
      noised=noised)
  embed = _public_features(key_of(seed, _PUBLIC), source)

  def pipelines(number, arm):
    for m in range(num_pipelines):
      yield cells.arrays(
          f"arm_{number}/pipeline_{m}",
          partial(
              shadow,
              key_of(seed, _MAKE, number, m),
              key_of(seed, _TRAIN, m),
              arm,
              candidates,
              keep[m],
              network,
              embed=embed))

  rows = []
  for number, arm in enumerate(known):
    with compiled_once():
      found = list(pipelines(number, arm))
    stacked = {k: np.stack([one[k] for one in found]) for k in found[0]}
    rows.append(
        privacy_report.row(
            key_of(seed, _REPORT, number), arm.name, stacked, keep,
            candidates.classes, candidates.canary, source.class_names) |
        dict(maker=arm.maker.spec, exact=arm.maker.exact))
  privacy_report.compare(rows)
  settings = dict(
      arms=[arm.name for arm in known],
      num_candidates=len(candidates.rows),
      num_pipelines=num_pipelines,
      per_class=per_class,
      num_canaries=int(candidates.canary.sum()),
      network=(
          dict(network)
          if isinstance(network, Mapping) else models.spec_of(network)),
      recipe=recipe and dict(recipe),
      early_steps=list(early_steps),
      epsilons=list(epsilons),
      delta=delta,
      noised=dict(noised or {}))
  return Findings(
      dict(application="privacy", settings=settings, rows=rows),
      privacy_report.table, privacy_report.figure)


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
    noised: Mapping[str, Any] | None = None) -> tuple[Arm, ...]:
  """All arms, checked; arguments as of `run`.

  Args:
    half: the data of one pipeline.
  """
  num_rows = per_class * len(half.train.present)
  if num_rows > half.train.num_samples:
    raise ConfigError(
        "`per_class` must be at most half of the candidates of a class, "
        f"{half.train.num_samples // len(half.train.present)}; got "
        f"{per_class}.")
  if recipe is not None:
    recipes.from_spec(recipe)
  made = []
  for given in arms:
    if given == "byte_matched_real":
      value = int(np.prod(half.train.sample_shape))
      budget = num_rows * (4 * value + (1 if half.num_classes <= 256 else 2))
      made.append(
          Arm(given, maker("random_real"), rows_of_bytes(half, budget), recipe))
      continue
    name, one = _named(given)
    if one.method is not None:
      outputs.check_judged(half, one.method, network)
    made.append(Arm(name, one, num_rows, recipe))
  for num in early_steps:
    made.append(
        Arm(
            f"all_real_{num}", maker("all_real"), num_rows,
            _shortened(recipe, num)))
  for epsilon in epsilons:
    one = noised_means.maker(epsilon, delta, **(noised or {}))
    made.append(Arm(one.name, one, num_rows, recipe))
  names = [arm.name for arm in made]
  if not names:
    raise ConfigError("`arms` must name at least one; got none.")
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise ConfigError(
        f"`arms` must have different names; got {', '.join(twice)} twice. Give "
        "one another: {..., \"arm\": NAME}.")
  return tuple(made)


def _named(given) -> tuple[str, Maker]:
  """An arm's name and maker; its start is part of a specification's name."""
  if not isinstance(given, Mapping):
    one = maker(given)
    return one.name, one
  spec = dict(given)
  name = spec.pop("arm", None)
  if spec.get("name") == "noised_means":
    settings = {k: v for k, v in spec.items() if k != "name"}
    one = noised_means.maker(**settings)
  else:
    one = maker(spec)
  start = spec.get("start")
  usual = f"{one.name}_{start}" if isinstance(start, str) else one.name
  return name or usual, one


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


def shadow(
    k_make: Array,
    k_train: Array,
    arm: Arm,
    candidates: Candidates,
    keep: np.ndarray,
    network: Any,
    *,
    embed: Any = None) -> dict[str, np.ndarray]:
  """One pipeline: its half of the candidates, a set, a network, its outputs.

  Args:
    k_make: of the set; consumed.
    k_train: of the network; consumed.
    arm: what is audited.
    candidates: all Z.
    keep: [Z] bool, those that the pipeline has.
    network: that is distilled for and trained, or its specification.
    embed: `(inputs [n, ...]) -> features [n, D]` of a public network, or None.

  Returns:
    By name: phi [Z] of the trained network and of the same `untrained`;
    `pixels` and `features` [Z], less the squared distance to the nearest
    sample of the set; `seen` [Z] bool, real samples in the set or where it
    started; `accuracy`, `bytes`, `num_samples`, `seconds`, `noise_scale` [1],
    the last NaN but for sets with differential privacy.
  """
  half = candidates.source.take(np.flatnonzero(keep))
  method = arm.maker.method
  wanted = method is None or method.model == "network"
  began = time.perf_counter()
  made = arm.maker.make(k_make, half, arm.num_rows, network if wanted else None)
  seconds = time.perf_counter() - began
  fitted = outputs.fit(
      k_train, made, network=network if wanted else None, recipe=arm.recipe)
  split, labels = candidates.source.train, candidates.classes
  phi = membership.statistic(fitted.outputs(split), labels)
  untrained = np.full(len(labels), np.nan)
  if fitted.untrained is not None:
    untrained = membership.statistic(fitted.untrained(split), labels)
  test = candidates.source.test
  right = np.asarray(classes_of(fitted.outputs(test))) == test.labels
  inputs = np.asarray(_encoded(split))
  near = dict(pixels=np.full(len(labels), np.nan))
  near["features"] = near["pixels"]
  if made.inputs.shape[1:] == inputs.shape[1:]:
    near["pixels"] = -nearest(inputs, made.inputs)
    if embed is not None:
      near["features"] = -nearest(embed(inputs), embed(made.inputs))
  guarantee = made.provenance.get("privacy")
  return dict(
      phi=phi,
      untrained=untrained,
      **near,
      seen=keep & _seen(k_make, arm, half, made, inputs),
      accuracy=np.array([right.mean()]),
      bytes=np.array([stored_bytes(made, arm.maker.exact)]),
      num_samples=np.array([made.num_samples]),
      seconds=np.array([seconds]),
      noise_scale=np.array([guarantee["noise_scale"] if guarantee else np.nan]))


def nearest(points: Any, others: Any) -> np.ndarray:
  """Squared distances [Z] float64 from points [Z, ...] to the nearest other.
  """
  a = np.asarray(points, np.float64).reshape(len(points), -1)
  b = np.asarray(others, np.float64).reshape(len(others), -1)
  square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
  return np.maximum(square.min(1), 0.0)


def _seen(key, arm, half, made, inputs):
  """Which candidates are samples of the set, or are where it started."""
  nothing = np.zeros(len(inputs), bool)
  method, begun = arm.maker.method, None
  if arm.maker.exact:
    begun = made.inputs
  elif method is not None and method.begin is not None:
    start = method.begin(Keys.of(key).start, half, arm.num_rows)
    begun = np.asarray(method.parameterization.decode(start.codes))
  if begun is None or begun.shape[1:] != inputs.shape[1:]:
    return nothing
  flat = inputs.reshape(len(inputs), -1).astype(np.float64)
  return nearest(inputs, begun) <= _SAME * (1 + np.square(flat).sum(1))


@jax.jit
def _encoded(split):
  return map_rows(split.encode, split.inputs)


def _public_features(key, source):
  """Features of a random network that has seen no data."""
  network = models.from_spec(models.default(source), source.num_classes)
  variables = network.init(key, source.example)
  read = jax.jit(lambda inputs: embeddings(network, variables, inputs))
  return lambda inputs: np.asarray(read(inputs))
