"""From a name and arguments to a network, a kernel, or what is fitted."""

import functools

import flax.linen
import jax
from choices import one_of

from distill_jax import nn
from distill_jax.errors import ConfigError
from distill_jax.evaluation.learners import Learner, kernel_ridge, student
from distill_jax.evaluation.recipes import Recipe
from distill_jax.kernels import closed_form, tiles
from distill_jax.labels import num_outputs
from distill_jax.nn import activations, conv, layers, norms
from distill_jax.types import Network

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
    "vit": nn.vit,
}
# Arguments that are functions, by name.
FUNCTIONS = {
    "activation": {
        "leaky_relu": flax.linen.leaky_relu,
        "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid,
        "softplus": activations.softplus(),
        "swish": jax.nn.swish,
    },
    "initialisation": {
        "he_normal": layers.he_normal(),
        "lecun_normal": layers.lecun_normal(),
        "torch_uniform": layers.torch_uniform(),
        "xavier_normal": layers.xavier_normal(),
    },
    "norm": {
        "batch": norms.batch_norm,
        "fast_batch": norms.fast_batch_norm,
        "group": norms.group_norm,
        "instance": norms.instance_norm,
        "layer": norms.layer_norm,
        "none": None,
    },
    "pool": {
        "average": lambda x: conv.avg_pool(x, 2),
        "max": lambda x: conv.max_pool(x, 2),
        "none": lambda x: x,
    },
}

KERNELS = {
    "convolutional": closed_form.convolutional,
    "convolutional_pooled": closed_form.convolutional_pooled,
    "fully_connected": closed_form.fully_connected,
}


def network(spec, num_classes: int) -> Network:
  """A network from `{"name": ..., **arguments}`."""
  arguments = dict(spec)
  name = arguments.pop("name", None)
  make = one_of(NETWORKS, "network", name)
  for argument, known in FUNCTIONS.items():
    if argument in arguments:
      arguments[argument] = one_of(
          known, f"network {argument}", arguments[argument]
      )
  try:
    return make(num_outputs(num_classes), **arguments)
  except TypeError as error:
    raise ConfigError(f"`network` {name!r}: {error}.") from None


def is_kernel(spec) -> bool:
  """Whether a specification is of kernel ridge regression, not of a network."""
  return spec.get("name") == "kernel_ridge"


def kernel(spec) -> closed_form.Kernel:
  """The kernel of `{"name": "kernel_ridge", "kernel", "ridge", **arguments}`.

  FC-1 where it is not named; `kind` is ntk, by default, or nngp.
  One function for each specification, so that it compiles once. Those of
  images are computed by tiles.
  """
  return _kernel(tuple(sorted(dict(spec).items())))


@functools.cache
def _kernel(items) -> closed_form.Kernel:
  arguments = dict(items)
  name = arguments.pop("kernel", "fully_connected")
  if "kind" in arguments:  # `get` is a method of configurations
    arguments["get"] = arguments.pop("kind")
  for field in ("name", "ridge"):
    arguments.pop(field, None)
  if name == "fully_connected":
    arguments.setdefault("depth", 1)
  make = one_of(KERNELS, "network kernel", name)
  try:
    made = make(**arguments)
  except TypeError as error:
    raise ConfigError(f"`network` kernel {name!r}: {error}.") from None
  return made if make is closed_form.fully_connected else tiles.tiled(made)


def learner(spec, recipe: Recipe, num_classes: int) -> Learner:
  """What is fitted to a set: a network by a recipe, or a kernel's regression.
  """
  if is_kernel(spec):
    made = kernel_ridge(kernel(spec), ridge=spec.get("ridge", 1e-6))
    return made._replace(recipe=tuple(
        (dict(made.recipe) | {"kernel": "fully_connected"} | dict(spec)).items()
    ))
  return student(network(spec, num_classes), recipe)
