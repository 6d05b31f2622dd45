"""Kernels `kernel_fn(x1, x2) -> [n1, n2]`, and ridge regression with them."""

from distill_jax.kernels.closed_form import (
    convolutional,
    convolutional_pooled,
    fully_connected,
)
from distill_jax.kernels.neural_tangents import (
    from_stax,
    import_neural_tangents,
)
from distill_jax.kernels.regression import predict, solve
from distill_jax.kernels.tiles import tiled

__all__ = [
    "convolutional", "convolutional_pooled", "from_stax", "fully_connected",
    "import_neural_tangents", "predict", "solve", "tiled"
]
