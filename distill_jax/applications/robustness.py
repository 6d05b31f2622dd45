"""What a small set costs beyond accuracy: an audit of sets and of all data.

Five questions, asked of the same networks of every set:

  attacked    what accuracy FGSM, PGD and random corners leave
  calibrated  whether networks are as sure as they may be: ECE and NLL
  fair        how the worst class fares, and how far classes are apart
  poisoned    whether a trigger that the distiller stamped on some real images
              gets through the set (Liu et al., 2023, arXiv 2301.01197)
  timed       what all real data give for the same number of samples seen, and
              of seconds, as training on the set takes

A trigger is compared at equal counts: of N real images a fraction f is poisoned
before anything sees them, and beside the sets that are made of them stands a
random real set of M samples with f M of them poisoned, at least one. What a
published benchmark does differently: attacks here are bounded in pixels, before
normalisation, and accuracies are reported, not scores made of them (compare
Zhou et al., "BEARD", 2024, arXiv 2411.09265).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from distill_jax.applications import makers as making
from distill_jax.applications import poisoning
from distill_jax.applications.audit import Audit
from distill_jax.applications.cells import Cells, cells_of
from distill_jax.applications.findings import Findings
from distill_jax.applications.programs import compiled_once
from distill_jax.applications.robustness_figure import draw
from distill_jax.applications.robustness_report import rows_of, table
from distill_jax.applications.settings import check_switches
from distill_jax.data.source import Source, check_source
from distill_jax.evaluation import attacks
from distill_jax.evaluation.columns import NUM_ATTACKED
from distill_jax.runs.console import working

MAKERS = (
    "random_real", "kmeans", "class_mean", "dm", "dc", "dsa", "idc", "frepo")
RECIPE = {"name": "dsa", "num_epochs": 300}


def run(
    source: Source,
    *,
    cells: Cells | None = None,
    seed: int = 0,
    makers: Sequence[Any] = MAKERS,
    per_class: int = 10,
    num_sets: int = 1,
    network: Mapping[str, Any] | str | None = None,
    recipe: Mapping[str, Any] | str | None = MappingProxyType(RECIPE),
    num_networks: int = 5,
    eps: float = attacks.EPS,
    steps: int = 20,
    num_attacked: int = NUM_ATTACKED,
    poison: Sequence[float] | float = (0.01,),
    target: int | str = 0,
    all_data: bool = True,
    batch_size: int = 64) -> Findings:
  """Audits sets of several makers, and all data for the same budgets.

  Args:
    source: real data with a test split.
    cells: where results are kept.
    seed: of everything.
    makers: methods and choices of real samples; see `makers.maker`.
    per_class: label rows of each class.
    num_sets: of each maker, each by a key of its own; with more than one,
      standard errors are over sets.
    network: that methods distil for and that is trained on the sets; by default
      one for the shape of the data. A set with a closed-form learner of its own
      is judged by that.
    recipe: how it is trained on every set whose labels the recipe takes; the
      others have their own, and with None all have.
    num_networks: R, trained on each set.
    eps: farthest move of an attack: pixels in [0, 1], or units of model space
      for data that are no images.
    steps: of PGD, and random corners that are tried.
    num_attacked: test samples that are attacked; 0 for all.
    poison: fractions of the training images that are poisoned, or one; () to
      leave this out, as is done for data that are no images.
    target: class of the poisoned images, its number or its name.
    all_data: whether networks are trained on all data, for the samples and for
      the seconds of each maker's first set.
    batch_size: of training on all data.

  Raises:
    ConfigError, DataError: a setting that cannot be, before any work.

  Example:
    print(robustness.run(source, makers=["random_real", "dm"], per_class=1))
  """
  check_source(source)
  check_switches(all_data=all_data)
  cells = cells_of(cells)
  target = poisoning.target_of(source, target)
  poison = poisoning.shares_of(source, poison, target)
  left_out = not poisoning.has_pixels(source) and bool(poison)
  poison = () if left_out else poison
  work = Audit.of(
      source,
      cells,
      seed,
      making.makers(makers, taken=("matched",)),
      per_class=per_class,
      num_sets=num_sets,
      network=network,
      recipe=recipe,
      num_networks=num_networks,
      poison=poison,
      target=target,
      batch_size=batch_size,
      attack=dict(eps=eps, num_steps=steps, num_attacked=num_attacked))
  found = []
  with compiled_once():
    for i, maker in enumerate(work.makers):
      with working(f"robustness: maker {i + 1} of {len(work.makers)}"):
        found.append(work.clean(maker))
        if all_data:
          found += work.same_budget(maker)
    for i, fraction in enumerate(poison):
      with working(f"robustness: poison {i + 1} of {len(poison)}"):
        found += [work.poisoned(maker, fraction) for maker in work.makers]
        found.append(work.matched(fraction))
  document = dict(
      application="robustness",
      settings=dict(
          makers=[maker.spec for maker in work.makers],
          per_class=per_class,
          num_sets=num_sets,
          network=dict(work.student.spec),
          recipe=work.recipe and work.recipe.spec,
          num_networks=num_networks,
          eps=float(eps),
          steps=steps,
          num_attacked=num_attacked,
          poison=list(poison),
          target=target,
          all_data=all_data,
          batch_size=batch_size),
      data=source.name,
      target=source.class_names[target],
      left_out=["poison"] * left_out,
      rows=rows_of(found))
  return Findings(document, table, draw)
