"""Normalisations: factories `(train) -> module` that networks take."""

import flax.linen as nn
import jax.numpy as jnp

from distill_jax.types import Array


def instance_norm(train: bool) -> nn.Module:
  """Normalises each sample and channel over space; affine, without state.

  It uses the biased variance. It is GroupNorm with one channel per group, which
  DC and related methods call instance norm.
  """
  del train
  return nn.GroupNorm(num_groups=None, group_size=1, epsilon=1e-5)


def group_norm(train: bool) -> nn.Module:
  """GroupNorm with four groups."""
  del train
  return nn.GroupNorm(num_groups=4, epsilon=1e-5)


def layer_norm(train: bool) -> nn.Module:
  """Normalises each sample over space and channels, with an affine map."""
  del train
  return nn.LayerNorm(
      epsilon=1e-5, reduction_axes=(-3, -2, -1), feature_axes=(-3, -2, -1))


def batch_norm(train: bool) -> nn.Module:
  """BatchNorm with running statistics (PyTorch momentum 0.1)."""
  return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)


def fast_batch_norm(train: bool) -> nn.Module:
  """BatchNorm whose old statistics keep a tenth of their weight (FRePo)."""
  return nn.BatchNorm(use_running_average=not train, momentum=0.1, epsilon=1e-5)


def local_response_norm(
    x: Array,
    *,
    window: int = 4,
    alpha: float = 0.001 / 9,
    beta: float = 0.75,
    k: float = 1.0) -> Array:
  """`x / (k + alpha * mean_window(x^2)) ** beta` across channels.

  The window reaches `window // 2` channels back; absent channels count as
  zero in the mean (PyTorch's convention, which divides alpha by the window).

  Args:
    x: [..., C].
    window: channels in the mean.
    alpha: weight of the mean square.
    beta: exponent.
    k: offset.
  """
  back, ahead = window // 2, (window - 1) // 2
  squares = jnp.pad(x * x, ((0, 0),) * (x.ndim - 1) + ((back, ahead),))
  channels = x.shape[-1]
  total = sum(squares[..., i:i + channels] for i in range(window))
  return x * (k + alpha * total / window)**-beta
