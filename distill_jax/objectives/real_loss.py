"""How well a network trained on the set does on real data: the outer loss.

Shared by the objectives that train a student and look at the outcome (Wang et
al., "Dataset Distillation", 2018, arXiv 1811.10959). Labels are hard.
"""

from collections.abc import Callable

from distill_jax.labels import classes_of, cross_entropy, label_rows
from distill_jax.types import Array, Batch, Network, PyTree


def real_loss(
    network: Network, num_classes: int
) -> Callable[[PyTree, Batch], tuple[Array, dict[str, Array]]]:
  """Cross-entropy and accuracy of a student on a real batch.

  Args:
    network: the student; it is applied as in evaluation, not in train mode.
    num_classes: of the real labels.

  Returns:
    `(variables, batch) -> loss, {"accuracy"}`, means over the rows of the
    batch, as `parallel.mean_in_pieces` takes it.
  """

  def loss(variables, batch):
    logits, _ = network.apply(variables, batch.inputs)
    labels = label_rows(batch.labels, num_classes, logits.dtype)
    accuracy = (classes_of(logits) == batch.labels).mean(dtype=logits.dtype)
    return cross_entropy(logits, labels), {"accuracy": accuracy}

  return loss
