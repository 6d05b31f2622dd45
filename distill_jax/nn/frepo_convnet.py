"""FRePo's ConvNet, whose width doubles from block to block.

Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression",
2022, arXiv 2206.00719. The paper distils with `norms.fast_batch_norm` and
evaluates without a norm.
"""

from collections.abc import Callable

import flax.linen as nn

from distill_jax.nn.convnet import Blocks, halve, widths
from distill_jax.nn.layers import Classifier, Initialisation, lecun_normal
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.types import Array, Network


@specified
def frepo_convnet(
    num_outputs: int,
    *,
    depth: int = 3,
    width: int = 128,
    norm: Callable[[bool], nn.Module] | None = None,
    activation: Callable[[Array], Array] = nn.relu,
    initialisation: Initialisation | None = None) -> Network:
  """`depth` blocks of norm, conv3, activation, average pooling; then linear.

  The first block has no norm; it pads grey images of 28 pixels to 32. `stages`
  are the outputs of each block before its pooling, and of the last block after
  it.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    depth: number of blocks; 3 for 32 pixels, 4 for 64, 5 for 128; each halves
      the image.
    width: channels of the first block; block i has `width * 2**i`.
    norm: `(train) -> module`, see `nn.norms`; None for none.
    activation: activation after each convolution.
    initialisation: initialisation of all weights and biases; `lecun_normal` by
      default.
  """
  initialisation = initialisation or lecun_normal()
  blocks = Blocks(
      widths(depth, width, growth=2),
      norm,
      activation,
      halve,
      initialisation,
      norm_first=True)
  return from_linen(Classifier(blocks, num_outputs, initialisation))
