"""Soft-label nearest neighbours as a method, which needs no network."""

from types import SimpleNamespace

from distill_jax.methods.method import Method, Task
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import STORED, built, drawn_mixed, start
from distill_jax.objectives import soft_neighbours as objectives


@declare(
    dict(
        **STORED,
        **OUTER,
        **LABELS,
        num_steps=300,
        batch_size=256,
        k=3,
        temperature=0.1) |
    dict(learning_rate=0.05, label_learning_rate=0.05, learn_labels=True),
    paper="after Sucholutsky & Schonlau, 'Less Than One'-Shot Learning, 2020, "
    "arXiv 2009.08449",
    title="soft neighbours",
    loss="cross-entropy on real data",
    cost="distances to the set")
def soft_neighbours(s: SimpleNamespace) -> Method:
  """Learns points with soft labels for k-nearest-neighbour classification."""

  def objective(task: Task):
    return objectives.soft_neighbours(
        sample=drawn_mixed(s.batch_size, task),
        num_classes=task.source.num_classes,
        k=min(s.k, task.layout.order.size),
        temperature=s.temperature)

  def sure(begun):
    """Sets logits to 0 and 4; a softmax turns them into soft labels."""
    rows = begun.labels
    if rows.shape[1] == 1:  # a binary task: one logit, that of class 1
      rows = 2 * rows - 1
    return begun._replace(labels=4 * rows)

  def network(source, given):
    del source
    return given or dict(name="soft_neighbours", k=s.k)

  return built(
      s,
      objective,
      recipe=dict(name="converged"),
      label_space="logits",
      begin=start(s, change=sure, label_space="logits"),
      by_class=False,
      model="none",
      network=network)
