"""Difficulty-aligned trajectory matching: DATM's additions to MTT.

Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned
Trajectory Matching", 2023, arXiv 2310.05773. Early epochs of an expert teach
easy patterns and late ones hard patterns. The start epoch of a segment
therefore has a lower bound, and an upper bound that grows while distilling.
Samples start from real ones that experts classify correctly, with labels from
the experts' logits (`trajectories.agreement`). The labels are then learned,
with a softmax at every use (`labels.cross_entropy_of_logits`). Outer steps
whose loss is too high are skipped (`distiller(skip_above=...)`).

The released code interpolates the upper bound; the paper adds one to it every
few steps. Both are available here. Bounds are as in the code: the upper one is
exclusive.
"""

from collections.abc import Callable
from typing import NamedTuple


class StartEpochs(NamedTuple):
  """The range of epochs at which segments start.

  Attributes:
    lowest: lowest start epoch.
    highest: largest value of the upper bound, exclusive.
    upper: `(step) -> epoch`, the upper bound at an outer step, exclusive.
  """

  lowest: int
  highest: int
  upper: Callable[[int], int]

  def bounds(self, step: int) -> tuple[int, int]:
    """The lowest start epoch, and the upper bound at an outer step."""
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
  """The same epochs lowest..highest - 1 at every step, as in MTT."""
  return _range(lowest, highest, highest, lambda step: highest)


def interpolated(
    lowest: int, first: int, highest: int, num_steps: int) -> StartEpochs:
  """The upper bound grows linearly from `first` to `highest` in `num_steps`."""
  _check_steps("num_steps", num_steps)
  return _range(
      lowest, first, highest,
      lambda step: min(first + (highest - first) * step // num_steps, highest))


def one_by_one(
    lowest: int, first: int, highest: int, every: int) -> StartEpochs:
  """The upper bound grows by 1 every `every` steps, as in the paper."""
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
