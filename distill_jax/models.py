"""Makes a network or a kernel from a specification, and the reverse.

The specification of a network is `{"name": ..., **settings}`: the name and
arguments of a factory of `nn`, with functions given by name. With `"dtype":
"bfloat16"` the network computes in that type. The specification of a kernel for
ridge regression is `{"name": "kernel_ridge", "kernel": "fully_connected",
"depth": 1, "kind": "ntk", "ridge": 1e-6, ...}`: the name and arguments of a
factory of `kernels` (`kind` is its argument `get`). Equal specifications give
the same object, so that it is compiled only once.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax

from distill_jax import nn
from distill_jax.data.source import Source
from distill_jax.errors import ConfigError
from distill_jax.kernels import closed_form, tiles
from distill_jax.labels import num_outputs
from distill_jax.nn.precision import computing_in
from distill_jax.nn.specification import functions
from distill_jax.specification import build, frozen, thawed, with_spec
from distill_jax.types import Array, Network, Spec

NETWORKS = {
    "alex_cifar_net": nn.alex_cifar_net,
    "alexnet": nn.alexnet,
    "bi_lstm": nn.bi_lstm,
    "bi_rnn": nn.bi_rnn,
    "conv_lstm": nn.conv_lstm,
    "convnet": nn.convnet,
    "frepo_convnet": nn.frepo_convnet,
    "lenet": nn.lenet,
    "mlp": nn.mlp,
    "mobilenet_v2": nn.mobilenet_v2,
    "resnet10": nn.resnet10,
    "resnet18": nn.resnet18,
    "text_convnet": nn.text_convnet,
    "transformer": nn.transformer,
    "vgg11": nn.vgg11,
    "vit": nn.vit
}
KERNELS = {
    "convolutional": closed_form.convolutional,
    "convolutional_pooled": closed_form.convolutional_pooled,
    "fully_connected": closed_form.fully_connected
}
_FITTED = ("kernel_ridge", "linear_probe", "soft_neighbours")
NAMES = frozenset(NETWORKS) | {"kernel_ridge"}  # names that `from_spec` knows
MOST_WEIGHTS = 2**28  # largest number of weights of a network: 1 GiB
_WINDOWS = (3, 4, 5)  # window sizes of a text_convnet


def from_spec(spec: Mapping[str, Any], num_classes: int) -> Any:
  """Makes a network or, if the name is "kernel_ridge", a kernel.

  By default the kernel is `fully_connected` with one hidden layer. Kernels of
  images are computed in tiles.

  Args:
    spec: `{"name": ..., **settings}`.
    num_classes: number of classes of the data; a kernel does not need it.

  Raises:
    ConfigError: an unknown name or setting.
  """
  items = _sorted(spec)
  return _kernel(items) if is_kernel(spec) else _network(items, num_classes)


def spec_of(model: Any) -> dict[str, Any]:
  """The specification of a network or a kernel; `{}` if it has none."""
  return thawed(getattr(model, "spec", ()))


def is_kernel(spec: Mapping[str, Any]) -> bool:
  """Whether a specification is that of a kernel, not of a network."""
  return spec.get("name") == "kernel_ridge"


def is_network(spec: Mapping[str, Any]) -> bool:
  """Whether a specification is that of a network, which a recipe trains.

  Other students are fitted in closed form: kernel ridge regression, the linear
  probe and soft-label neighbours; see `evaluation.fitting`.
  """
  return spec.get("name") not in _FITTED


def identity(spec: Mapping[str, Any], model, example: Array) -> dict[str, Any]:
  """Identifies a network, in JSON: its specification, or else its weights.

  Args:
    spec: specification of the model; `{}` for a user's own.
    model: a network, a kernel or None.
    example: [1, ...], one sample in model space.

  Returns:
    The specification; if there is none, the shapes of a network's variables by
    name.
  """
  if spec or not isinstance(model, Network):
    return dict(spec)
  shapes = jax.eval_shape(model.init, jax.random.key(0), example)
  leaves = jax.tree_util.tree_leaves_with_path(shapes)
  return {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}


def default(source: Source, *, width: int = 32) -> dict[str, Any]:
  """The specification of a network that suits the shape of the data.

  It is a ConvNet whose last feature map is about 4x4 for images [H, W, C]; a
  convolutional text classifier for sentences of word vectors and for series [T,
  C]; and an MLP for features [D] and for images one pixel wide.

  Args:
    source: the `data.Source`.
    width: number of channels of the ConvNet.
  """
  shape = source.example.shape[1:]
  if len(shape) == 3 and (side := min(shape[:2])) > 1:
    least, most = (2 if side >= 8 else 1), min(5, side.bit_length() - 1)
    depth = min(max(round(math.log2(side / 4)), least), most)
    return dict(name="convnet", depth=depth, width=width)
  if len(shape) == 2:
    windows = [w for w in _WINDOWS if w <= shape[0]] or [shape[0]]
    return dict(name="text_convnet", windows=windows)
  return dict(name="mlp", widths=[128])


def check_fits(network: Network, source: Source, *, reader: str = "") -> None:
  """Refuses a network that cannot be used on these data.

  Only shapes are computed.

  Args:
    network: the network.
    source: the data.
    reader: name of the method that reads the network's stages; "" if none does.

  Raises:
    ConfigError: the network has a wrong number of outputs or more than
      `MOST_WEIGHTS` weights, lacks the stages that `reader` needs, or takes
      images while the data are rows of numbers.
  """
  example = jax.ShapeDtypeStruct(source.example.shape, source.example.dtype)
  try:
    _check_outputs(network, example, source.num_classes)
  except ValueError as error:
    if example.ndim > 2 or isinstance(error, ConfigError):
      raise
    raise ConfigError(
        f"`network` must take rows of numbers, such as an MLP; the data are "
        f"rows of {example.shape[1]}. Where these are pixels, make images of "
        "them: from_arrays(x.reshape(-1, H, W, C), y).") from error
  if reader:
    _check_stages(network, example, reader)


@functools.cache
def _check_outputs(network: Network, example, num_classes: int) -> None:

  def outputs(key, x):
    variables = network.init(key, x)
    return network.apply(variables, x)[0], variables

  logits, variables = jax.eval_shape(outputs, jax.random.key(0), example)
  size = sum(leaf.size for leaf in jax.tree.leaves(variables))
  if size > MOST_WEIGHTS:
    raise ConfigError(
        f"`network` must have at most {MOST_WEIGHTS:,} weights; got {size:,}. "
        "Make it narrower, or raise models.MOST_WEIGHTS.")
  if getattr(logits, "shape", ())[:-1] != example.shape[:1]:
    raise ConfigError(
        "`network` must return logits [B, K]; got "
        f"{jax.tree.map(lambda leaf: leaf.shape, logits)} for inputs "
        f"{example.shape}.")
  found, wanted = logits.shape[-1], num_outputs(num_classes)
  if found != wanted:
    noun, binary = "outputs", ""
    if num_classes == 2:
      noun, binary = "output", " Use one output, a single logit."
    raise ConfigError(
        f"`network` must have {wanted} {noun} for {num_classes} classes; got "
        f"{found}.{binary}")


@functools.cache
def _check_stages(network: Network, example, reader: str) -> None:

  def stages(key, x):
    return network.stages(network.init(key, x), x)[0]

  try:
    jax.eval_shape(stages, jax.random.key(0), example)
  except ConfigError as error:
    raise ConfigError(
        f"`network` must show its features to {reader}; {error}") from None


@functools.cache
def _network(items: Spec, num_classes: int) -> Network:
  spec = functions(dict(items))
  dtype = spec.pop("dtype", None)
  made = build(NETWORKS, "network", spec, num_outputs(num_classes))
  if dtype is not None:
    made = computing_in(made, dtype)
  complete = _sorted(made.spec)
  return made if complete == items else _network(complete, num_classes)


@functools.cache
def _kernel(items: Spec) -> closed_form.Kernel:
  spec = {"kernel": "fully_connected", **dict(items)}
  spec["name"] = spec.pop("kernel")
  ridge = {name: spec.pop(name) for name in ("ridge",) if name in spec}
  if "kind" in spec:
    spec["get"] = spec.pop("kind")
  if spec["name"] == "fully_connected":
    spec.setdefault("depth", 1)
  made = build(KERNELS, "network kernel", spec)
  if spec["name"] != "fully_connected":
    made = tiles.tiled(made)
  complete = _sorted(made.spec + frozen(ridge))
  return with_spec(made, complete) if complete == items else _kernel(complete)


def _sorted(spec) -> Spec:
  """Freezes and sorts a specification, so that equal ones are equal keys."""
  return tuple(sorted(frozen(spec)))
