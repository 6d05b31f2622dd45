"""The bytes of a set that does not exist yet."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.errors import ConfigError
from distill_jax.labels import num_outputs
from distill_jax.parameterization import from_spec
from distill_jax.parameterization.quantised import Quantiser


def stored_bytes(
    spec: Mapping, num_rows: int, *, shape: tuple[int, ...],
    num_classes: int) -> int:
  """Bytes of codes and labels of a set, as `storage_bytes` will count them.

  Args:
    spec: specification of the parameterization.
    num_rows: number of label rows of the whole set, with float32 labels.
    shape: shape of one sample.
    num_classes: K.
  """
  stored = from_spec(spec)
  quantiser = _quantiser(spec)
  init = stored.init
  if stored.init_for is not None:  # sizes do not depend on the real samples
    nothing = np.zeros((1, *shape), np.float32)
    classes = np.arange(num_rows, dtype=np.int32) % num_classes
    init = stored.init_for(lambda c: iter([nothing]), classes)
  inputs = jax.ShapeDtypeStruct((num_rows * stored.inputs_per_row, *shape),
                                jnp.float32)
  codes = jax.eval_shape(init, jax.random.key(0), inputs)
  total = 4 * num_rows * num_outputs(num_classes)
  for leaf in jax.tree.leaves(codes):
    if quantiser and jnp.issubdtype(leaf.dtype, jnp.floating):
      total += quantiser.num_bytes(leaf.shape)
    else:
      total += leaf.size * leaf.dtype.itemsize
  return total


def rows_within(
    spec: Mapping, per_class_bytes: int, *, shape: tuple[int, ...],
    num_classes: int) -> int:
  """The largest number of label rows per class that fits into some bytes.

  Args:
    spec: specification of the parameterization.
    per_class_bytes: bytes of codes and labels, divided by the number of
      classes.
    shape: shape of one sample.
    num_classes: K.

  Raises:
    ConfigError: not even one row fits.
  """

  def fit(per_class):
    size = stored_bytes(
        spec, per_class * num_classes, shape=shape, num_classes=num_classes)
    return size <= per_class_bytes * num_classes

  if not fit(1):
    least = stored_bytes(
        spec, num_classes, shape=shape, num_classes=num_classes) / num_classes
    raise ConfigError(
        f"`per_class_bytes` must be at least {least:.0f} for "
        f"{spec.get('name')}; got {per_class_bytes}.")
  most = 1
  while fit(2 * most):
    most *= 2
  step = most
  while step := step // 2:
    most += step * fit(most + step)
  return most


def _quantiser(spec: Mapping) -> Quantiser | None:
  """The quantiser of a quantised parameterization."""
  if spec.get("name") != "quantised":
    return None
  given = {name: spec[name] for name in Quantiser._fields if name in spec}
  return Quantiser(**given)
