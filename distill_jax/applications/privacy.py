"""A membership audit: how much a distilled set reveals about its data.

Dong, Zhao & Lyu, "Privacy for Free: How does Dataset Condensation Help
Privacy?", 2022, arXiv 2206.00240, report attacks near chance. Carlini, Feldman
& Nasr, "No Free Lunch in 'Privacy for Free'", 2022, arXiv 2209.14987, find no
gain over a small random part of the data. The audit attacks the whole pipeline:
half of the candidates -> a set -> a network trained on the set -> its outputs
on all candidates; see `membership`.

Each arm of the audit is a maker of sets. Further arms are:

  * all real data of a half, also with training stopped early, so that arms can
    be compared at equal accuracy;
  * sets with differential privacy, see `noised_means`;
  * all real data, trained with differential privacy by DP-SGD.

Three checks show whether the audit itself is sound: members drawn anew and
untrained networks must give an area under the ROC curve of 1/2, and real
samples in a set must be found.

A low score is no evidence of privacy.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from distill_jax import models, nn
from distill_jax.applications import membership, privacy_report, privacy_rows
from distill_jax.applications.candidates import Candidates, draw_candidates
from distill_jax.applications.cells import Cells, cells_of, key_of
from distill_jax.applications.findings import Findings
from distill_jax.applications.privacy_arms import arms_of
from distill_jax.applications.programs import compiled_once
from distill_jax.applications.settings import (
    check_counts,
    check_seed,
    check_tested,
    distinct,
    specified,
)
from distill_jax.applications.shadows import (
    Arm,
    nearest,
    public_features,
    shadow,
)
from distill_jax.errors import ConfigError, plain
from distill_jax.runs import students
from distill_jax.runs.console import working

__all__ = [
    "Arm", "Candidates", "arms_of", "draw_candidates", "nearest", "run",
    "shadow"
]

_DM = dict(name="dm", num_steps=300, batch_size=32)
ARMS = (
    "all_real", "random_real", "byte_matched_real", dict(_DM, start="noise"),
    dict(_DM, start="real"))
RECIPE = dict(name="converged", num_steps=500, batch_size=64)
# Second arguments of `key_of`, so that every use has a key of its own.
_CANDIDATES, _KEEP, _MAKE, _TRAIN, _PUBLIC, _REPORT = range(6)


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
    noised: Mapping[str, Any] | None = None,
    dp_sgd: Mapping[str, Any] | None = MappingProxyType({})
) -> Findings:
  """Audits arms; each is a way from data to a set that a network learns from.

  Args:
    source: data with a test split; candidates are drawn from the train split.
    cells: where results are kept; in memory by default.
    seed: seed of everything that is drawn. Keep it secret if the sets of
      `epsilons` are used.
    arms: makers, methods or their specifications. "byte_matched_real" stands
      for as many random real samples as fit the bytes of a distilled set. The
      name of an arm without a `label` also holds its `start`.
    num_candidates: Z, number of samples that may be members;
      `candidates.draw_candidates` says why there may be fewer.
    num_pipelines: N, even and at least 6; each has half of the candidates.
    per_class: label rows per class in a set.
    num_canaries: number of candidates with a wrong label, which are reported
      apart.
    network: the network that methods distil with and that is trained on the
      sets; by default one that suits the data. Sets that bring a learner of
      their own, such as those of kernel methods, are judged by this learner.
    recipe: how networks are trained; None for each set's own recipe. Sets with
      centred labels, step sizes or a fixed initialisation always keep their
      own.
    early_steps: numbers of updates (or epochs, as the recipe counts) after
      which training on all real samples stops; each is an arm.
    epsilons: guarantees of differential privacy. Each adds an arm of private
      sets, and an arm of training on all real samples by DP-SGD.
    delta: delta of these guarantees.
    noised: further settings of the private sets, see `noised_means.maker`.
    dp_sgd: further settings of the recipe `dp_sgd`, whose noise follows from
      epsilon and delta; None for no such arms.

  Returns:
    Findings whose `rows` have one entry per arm: accuracy (`mean` and `stderr`
    over pipelines), `attacks` on the network, `pixels` and `features` (attacks
    on the set), `canaries`, `seen`, `worst_class` and `checks`.

  Raises:
    ConfigError, DataError: a setting is not possible; raised before any work.
  """
  cells = cells_of(cells)
  check_tested(source)
  check_seed(seed)
  early_steps = distinct("early_steps", early_steps)
  epsilons = distinct("epsilons", epsilons)
  for name, value in (("noised", noised), ("dp_sgd", dp_sgd)):
    if not isinstance(value, Mapping | None):
      raise ConfigError(
          f"`{name}` must be a mapping of settings; got {plain(value)}.")
  if recipe is not None:
    recipe = specified("recipe", recipe)
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
  spec = students.network(network, source).spec
  known = arms_of(
      candidates.source.take(np.flatnonzero(keep[0])),
      arms,
      per_class=per_class,
      network=network,
      recipe=recipe,
      early_steps=early_steps,
      epsilons=epsilons,
      delta=delta,
      noised=noised,
      dp_sgd=dp_sgd)
  embed = public_features(key_of(seed, _PUBLIC), source)

  rows = []
  for number, arm in enumerate(known):
    stacked = _pipelines(
        number,
        arm,
        cells=cells,
        seed=seed,
        candidates=candidates,
        keep=keep,
        network=network,
        embed=embed,
        total=len(known) * num_pipelines)
    rows.append(
        privacy_rows.row(
            key_of(seed, _REPORT, number), arm.name, stacked, keep, candidates.
            classes, candidates.canary, source.class_names, arm.guarantee) |
        dict(maker=arm.maker.spec, exact=arm.maker.exact))
  privacy_rows.compare(rows)
  settings = dict(
      arms=[arm.name for arm in known],
      num_candidates=len(candidates.rows),
      num_candidates_asked=num_candidates,
      num_pipelines=num_pipelines,
      per_class=per_class,
      num_canaries=int(candidates.canary.sum()),
      network=dict(network) if isinstance(network, Mapping) else dict(spec),
      recipe=recipe and dict(recipe),
      early_steps=list(early_steps),
      epsilons=list(epsilons),
      delta=delta,
      noised=dict(noised or {}),
      dp_sgd=dp_sgd and dict(dp_sgd))
  return Findings(
      dict(
          application="privacy", data=source.name, settings=settings,
          rows=rows), privacy_report.table, privacy_report.figure)


def _pipelines(
    number: int, arm: Arm, *, cells: Cells, seed: int, candidates: Candidates,
    keep: np.ndarray, network: Any, embed: Any,
    total: int) -> dict[str, np.ndarray]:
  """The results of all pipelines of an arm, [N, ...] by name."""
  found, before = [], number * len(keep)
  with compiled_once():
    for m, kept in enumerate(keep):
      with working(f"privacy: pipeline {before + m + 1} of {total}"):
        make = partial(
            shadow,
            key_of(seed, _MAKE, number, m),
            key_of(seed, _TRAIN, m),
            arm,
            candidates,
            kept,
            network,
            embed=embed)
        found.append(cells.arrays(f"arm_{number}/pipeline_{m}", make))
  return {k: np.stack([one[k] for one in found]) for k in found[0]}
