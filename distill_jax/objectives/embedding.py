"""Embeddings of many samples by a network that is not being trained."""

from distill_jax.parallel import PIECES, batch_map, pieces
from distill_jax.types import Array, Network, PyTree


def embeddings(network: Network, variables: PyTree, inputs: Array) -> Array:
  """Computes the embeddings [B, D] of inputs in evaluation mode.

  It works in pieces that suit the machine; each row depends on its own input
  only.

  Args:
    network: a network; the last of its `stages` is the embedding, which is
      flattened.
    variables: weights, and running statistics if it has any.
    inputs: [B, ...] in model space.
  """

  def of_piece(inputs):
    stages, _ = network.stages(variables, inputs)
    return stages[-1].reshape(len(inputs), -1)

  parts = pieces(of_piece, inputs)
  if len(parts) == 1:
    return of_piece(inputs)
  found = batch_map(of_piece, parts, chunk=1, items=PIECES)
  return found.reshape(len(inputs), -1)
