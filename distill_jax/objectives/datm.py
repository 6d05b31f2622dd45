"""Difficulty-aligned trajectory matching: DATM's additions to MTT.

Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned
Trajectory Matching", 2023, arXiv 2310.05773. Early epochs of an expert teach
what is easy and late ones what is hard, so the epochs from which segments start
have a lower bound and an upper one that grows. Samples start from real ones
that experts classify correctly, their labels from those experts' logits
(`trajectories.agreement`); the labels are then learned, softmaxed at every use
(`labels.cross_entropy_of_logits`), and steps above a loss are skipped
(`distiller(skip_above=...)`).

The released code interpolates the upper bound; the paper adds one every so many
steps. Both are here. Bounds are as in the code: the upper one is exclusive.
"""

from collections.abc import Callable
from typing import NamedTuple


class StartEpochs(NamedTuple):
  """Where segments start.

  Attributes:
    lowest: epoch.
    highest: exclusive, whatever the step.
    upper: `(step) -> epoch`, the bound at an outer step, exclusive.
  """

  lowest: int
  highest: int
  upper: Callable[[int], int]

  def bounds(self, step: int) -> tuple[int, int]:
    """The lowest epoch, and the bound at an outer step."""
    return self.lowest, self.upper(step)

  def last_target(self, span: int) -> int:
    """The latest epoch at which segments of `span` epochs end."""
    return self.highest - 1 + span


def check_span(epochs: StartEpochs, span: int, num_epochs: int) -> None:
  """Refuses segments of `span` epochs that end after epoch `num_epochs`."""
  last = epochs.last_target(span)
  if span < 1 or last > num_epochs:
    raise ValueError(
        "`span` must be at least 1 and segments must end within the experts' "
        f"{num_epochs} epochs; got {span} from epoch {epochs.highest - 1} on, "
        f"which ends at {last}. Train longer, or start earlier.")


def constant(lowest: int, highest: int) -> StartEpochs:
  """The same epochs lowest..highest - 1 at every step, as MTT."""
  return _range(lowest, highest, highest, lambda step: highest)


def interpolated(
    lowest: int, first: int, highest: int, num_steps: int) -> StartEpochs:
  """The upper bound rises from `first` to `highest` within `num_steps`."""
  _check_steps("num_steps", num_steps)
  return _range(
      lowest, first, highest,
      lambda step: min(first + (highest - first) * step // num_steps, highest))


def one_by_one(
    lowest: int, first: int, highest: int, every: int) -> StartEpochs:
  """The upper bound rises by 1 every so many steps, as the paper has it."""
  _check_steps("every", every)
  return _range(
      lowest, first, highest, lambda step: min(first + step // every, highest))


def _range(lowest, first, highest, upper) -> StartEpochs:
  if not 0 <= lowest < first <= highest:
    raise ValueError(
        "`lowest`, `first` and `highest`, the bounds of epochs to start from, "
        "must have 0 <= lowest < first <= highest; got "
        f"{lowest}, {first} and {highest}.")
  return StartEpochs(lowest, highest, upper)


def _check_steps(name: str, number: int) -> None:
  if number < 1:
    raise ValueError(
        f"`{name}`, within which the bound of epochs to start from rises, must "
        f"be at least 1; got {number}.")
