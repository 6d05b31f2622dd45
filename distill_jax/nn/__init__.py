"""Networks, and the convolution they all go through."""

from distill_jax.nn.alex_cifar import alex_cifar_net
from distill_jax.nn.conv import conv2d
from distill_jax.nn.convnet import convnet
from distill_jax.nn.lenet import lenet
from distill_jax.nn.mlp import mlp
from distill_jax.nn.network import from_linen, from_nnx

__all__ = [
    "alex_cifar_net",
    "conv2d",
    "convnet",
    "from_linen",
    "from_nnx",
    "lenet",
    "mlp",
]
