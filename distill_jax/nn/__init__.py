"""Networks, and the convolution that they all use."""

from distill_jax.nn.alex_cifar import alex_cifar_net
from distill_jax.nn.alexnet import alexnet
from distill_jax.nn.conv import conv2d
from distill_jax.nn.convnet import convnet
from distill_jax.nn.frepo_convnet import frepo_convnet
from distill_jax.nn.lenet import lenet
from distill_jax.nn.mlp import mlp
from distill_jax.nn.mobilenet import mobilenet_v2
from distill_jax.nn.network import (
    as_network,
    from_functions,
    from_linen,
    from_nnx,
)
from distill_jax.nn.recurrent import bi_lstm, bi_rnn, conv_lstm
from distill_jax.nn.resnet import resnet10, resnet18
from distill_jax.nn.text_convnet import text_convnet
from distill_jax.nn.transformer import transformer
from distill_jax.nn.vgg import vgg11
from distill_jax.nn.vit import vit

__all__ = [
    "alex_cifar_net", "alexnet", "as_network", "bi_lstm", "bi_rnn", "conv_lstm",
    "conv2d", "convnet", "frepo_convnet", "from_functions", "from_linen",
    "from_nnx", "lenet", "mlp", "mobilenet_v2", "resnet10", "resnet18",
    "text_convnet", "transformer", "vgg11", "vit"
]
