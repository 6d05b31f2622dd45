"""An audit of small sets beyond accuracy, compared with all data.

The same networks are trained on every set, and five things are measured:

  attacks      accuracy under FGSM, PGD and random corners
  calibration  whether confidence equals accuracy: ECE and NLL
  fairness     accuracy of the worst class, and spread over classes
  poison       whether a trigger that the distiller stamped on some real images
               gets through the set (Liu et al., 2023, arXiv 2301.01197)
  budget       accuracy of training on all real data, for as many samples or
               seconds as training on the set takes

Triggers are compared at equal counts. A fraction f of the N real images is
poisoned before any method sees them. The sets made of these images are compared
with a random real set of M samples, of which f M (at least one) are poisoned.
What differs from a published benchmark: attacks here are bounded in pixels,
before normalisation, and accuracies are reported, not scores made of them
(compare Zhou et al., "BEARD", 2024, arXiv 2411.09265).
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
    cells: where results are kept; in memory by default.
    seed: seed of everything that is drawn.
    makers: methods and choices of real samples; see `makers.maker`.
    per_class: label rows per class.
    num_sets: number of sets per maker, each with a key of its own. If there is
      more than one, standard errors are over sets.
    network: the network that methods distil with and that is trained on the
      sets; by default one that suits the data. A set that brings a closed-form
      learner is judged by this learner.
    recipe: how networks are trained on every set whose labels the recipe takes.
      Other sets use their own recipe; with None, all sets do.
    num_networks: R, networks trained on each set.
    eps: largest change by an attack: in pixels in [0, 1], or in units of model
      space for data that are not images.
    steps: steps of PGD, and number of random corners that are tried.
    num_attacked: number of test samples that are attacked; 0 for all.
    poison: fractions of the training images that are poisoned, or one fraction.
      () poisons none; data that are not images are never poisoned.
    target: class of the poisoned images, its number or its name.
    all_data: whether to train networks on all data too, for the samples and for
      the seconds of each maker's first set.
    batch_size: batch size of training on all data.

  Returns:
    Findings; `robustness_report.rows_of` says what their rows have.

  Raises:
    ConfigError, DataError: a setting is not possible; raised before any work.

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
