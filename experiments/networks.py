"""From a network's name and arguments to the network."""

import flax.linen
import jax
from choices import one_of

from distill_jax import nn
from distill_jax.errors import ConfigError
from distill_jax.labels import num_outputs
from distill_jax.nn import conv, norms
from distill_jax.types import Network

NETWORKS = {
    "alex_cifar_net": nn.alex_cifar_net,
    "alexnet": nn.alexnet,
    "convnet": nn.convnet,
    "lenet": nn.lenet,
    "mlp": nn.mlp,
    "mobilenet_v2": nn.mobilenet_v2,
    "resnet10": nn.resnet10,
    "resnet18": nn.resnet18,
    "vgg11": nn.vgg11,
    "vit": nn.vit,
}
# Arguments that are functions, by name.
FUNCTIONS = {
    "activation": {
        "leaky_relu": flax.linen.leaky_relu,
        "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid,
        "swish": jax.nn.swish,
    },
    "norm": {
        "batch": norms.batch_norm,
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
