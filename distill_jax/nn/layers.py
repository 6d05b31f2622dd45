"""Convolution and dense layers with the initialisation as an argument.

Xavier normal with zero biases is used by DD and SLDD (arXiv 1811.10959).
PyTorch's uniform default, for weights and biases, is used by DC and related
methods (Zhao et al., 2020, arXiv 2006.05929). LeCun normal is used by FRePo
(arXiv 2206.00719), and He normal, which keeps variances under ReLU, by RFAD
(arXiv 2210.12067).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from distill_jax.nn.conv import Padding, conv2d
from distill_jax.types import Array


class Initialisation(NamedTuple):
  """Initialisers of a layer.

  Attributes:
    kernel: a jax initialiser.
    bias: `(fan_in) -> ` a jax initialiser.
  """

  kernel: Callable
  bias: Callable[[int], Callable]


@functools.cache
def xavier_normal() -> Initialisation:
  """Weights N(0, 2 / (fan_in + fan_out)), zero biases."""
  return Initialisation(
      nn.initializers.glorot_normal(), lambda fan_in: nn.initializers.zeros)


@functools.cache
def torch_uniform() -> Initialisation:
  """Weights and biases U(-1, 1) / sqrt(fan_in), PyTorch's default."""

  def bias(fan_in):
    bound = 1 / np.sqrt(fan_in)

    def draw(key, shape, dtype=np.float32):
      return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw

  return Initialisation(
      nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"), bias)


@functools.cache
def lecun_normal() -> Initialisation:
  """Weights N(0, 1 / fan_in) truncated at two deviations, zero biases.

  It is Flax's default; the deviation before truncation compensates for it.
  """
  return Initialisation(
      nn.initializers.lecun_normal(), lambda fan_in: nn.initializers.zeros)


@functools.cache
def he_normal(bias_std: float = 0.1) -> Initialisation:
  """Weights N(0, 2 / fan_in), biases N(0, bias_std^2).

  `kernels.closed_form` has the limit of infinite width of such networks.
  """
  return Initialisation(
      nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
      lambda fan_in: nn.initializers.normal(bias_std))


class Conv(nn.Module):
  """A convolution: [B, H, W, C] -> [B, H', W', features]."""

  features: int
  size: int
  padding: Padding = "SAME"
  stride: int = 1
  initialisation: Initialisation = xavier_normal()
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.initialisation.kernel, shape, x.dtype)
    if not self.use_bias:
      return conv2d(x, kernel, stride=self.stride, padding=self.padding)
    bias = self.param(
        "bias", self.initialisation.bias(int(np.prod(shape[:3]))),
        (self.features,), x.dtype)
    x = conv2d(x, kernel, stride=self.stride, padding=self.padding)
    return x + bias


class Dense(nn.Module):
  """A linear layer with bias: [B, D] -> [B, features]."""

  features: int
  initialisation: Initialisation = xavier_normal()

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (x.shape[-1], self.features)
    kernel = self.param("kernel", self.initialisation.kernel, shape, x.dtype)
    bias = self.param(
        "bias", self.initialisation.bias(shape[0]), (self.features,), x.dtype)
    return x @ kernel + bias


def flatten(x: Array) -> Array:
  """[B, ...] -> [B, D]."""
  return x.reshape(x.shape[0], -1)


class Classifier(nn.Module):
  """A body that returns a tuple of features, and a linear head on the last.

  The last feature, flattened, is the embedding.
  """

  body: nn.Module
  num_outputs: int
  initialisation: Initialisation = xavier_normal()

  def setup(self):
    self.head = Dense(self.num_outputs, self.initialisation)

  def stages(self, x: Array, train: bool = False) -> tuple[Array, ...]:
    *features, last = self.body(x, train)
    return (*features, flatten(last))

  def __call__(self, x: Array, train: bool = False) -> Array:
    return self.head(self.stages(x, train)[-1])


def check_sentences(x: Array, windows: tuple[int, ...] = (1,)) -> None:
  """Refuses inputs that are not [B, s, d] with room for every window."""
  if x.ndim != 3 or x.shape[1] < max(windows):
    raise ValueError(
        f"`sentences` must be [B, s, d] of at least {max(windows)} words for "
        f"this network; got {x.shape}.")
