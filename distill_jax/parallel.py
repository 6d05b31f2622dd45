"""Applies one function to many independent items: map, vmap or shards.

Random initialisations, classes, evaluation seeds, kernel tiles and federated
clients all use `batch_map`. On a CPU, a `vmap` over weights turns convolutions
into grouped ones and is several times slower than a loop, so a loop is the
default there. An accelerator uses `vmap`, in chunks if memory is short.

Within `devices.on_devices` the items are divided among several devices. This
applies only to the outermost of nested maps, and not to a map of one item.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from distill_jax import devices
from distill_jax.devices import num_shards
from distill_jax.environment import free_memory, num_cores, platform
from distill_jax.processes import joined
from distill_jax.types import Array, PyTree

# A CPU computes a batch fastest in pieces whose intermediate values take about
# this many bytes, with at most this many rows. Larger pieces cost page faults;
# smaller ones leave the cores nothing to share. LeNet, gradient over 1,024
# images on 2 cores: 87 ms in pieces of 64, 175 ms whole; ConvNet of width 32,
# 100 images: 39 ms in pieces of 10, 50 ms in pieces of 50.
_PIECE_BYTES = 20_000_000
_PIECE_ROWS = 64
# Each piece reads all weights and adds to all of their gradients, so a piece's
# intermediate values should take at least this multiple of the weights' bytes.
# VGG11, 9 million weights, 100 images on one core: 2.0 s one by one, 0.7 s in
# pieces of 10 to 50; ResNet18, 11 million: 4.0 s one by one, 2.1 s by fives.
_PIECE_TO_WEIGHTS = 2
# Pieces that run at once, one per core, as long as the program stays small.
# ConvNet of width 128, 100 images, 2 cores: 305 ms, and 373 ms one by one.
_SIDE_BY_SIDE = 4
_ACCELERATOR_ROWS = 1024  # default number of rows of `map_rows`
PIECES = "pieces of a batch"


def batch_map(
    f: Callable,
    xs: PyTree,
    *,
    chunk: int | None = None,
    items: str = "items") -> PyTree:
  """Applies `f` to every item of `xs`; the result does not depend on how.

  Args:
    f: function of one item.
    xs: pytree of arrays (including typed keys) with one leading axis.
    chunk: number of items that each device computes at once. By default one on
      a CPU (a loop) and all on an accelerator; `chunk_size` finds the largest
      number that memory allows.
    items: what the items are, in the plural, for reports of what devices share.

  Returns:
    The stacked results of `f`.

  Example:
    dd.batch_map(jnp.sin, jnp.arange(3.0))
  """
  size = _length(xs)
  shards = num_shards()
  if shards > 1 and size > 1:
    return _sharded(f, xs, size, chunk, shards, items)
  chunk = _chunk(chunk, size)
  if chunk >= size > 1:
    return jax.vmap(f)(xs)
  return jax.lax.map(f, xs, batch_size=chunk if chunk > 1 else None)


def batch_mean(
    f: Callable,
    args: PyTree,
    xs: PyTree,
    *,
    chunk: int | None = None,
    items: str = "items",
    unroll: int = 1) -> tuple[Array, PyTree]:
  """Mean of a loss over items, with the memory of `chunk` items.

  The gradient with respect to `args` is computed item by item in the forward
  pass, and only its mean is kept. The result is exact, and differentiable once,
  in reverse mode.

  With several devices, the gradients of all items are in memory together.

  Args:
    f: `(args, x) -> (loss, metrics)`, a scalar and any pytree.
    args: floats, with respect to which the loss is differentiated.
    xs: items, as in `batch_map`.
    chunk: as in `batch_map`.
    items: as in `batch_map`.
    unroll: number of items in one iteration of the loop that computes gradients
      on a CPU, which can then run them on several cores; each needs its own
      memory.

  Returns:
    The mean loss and the mean metrics (which have no gradient).
  """

  def mean(tree):
    return jax.tree.map(lambda leaf: leaf.mean(0), tree)

  @jax.custom_vjp
  def value(args, xs):
    return mean(batch_map(partial(f, args), xs, chunk=chunk, items=items))

  def forward(args, xs):
    gradient_of = partial(jax.value_and_grad(f, has_aux=True), args)
    if num_shards() > 1 or _chunk(chunk, _length(xs)) > 1:
      return mean(batch_map(gradient_of, xs, chunk=chunk, items=items))

    def add(total, x):
      result, gradient = gradient_of(x)
      return jax.tree.map(jnp.add, total, gradient), result

    total, results = jax.lax.scan(
        add, jax.tree.map(jnp.zeros_like, args), xs, unroll=unroll)
    gradient = jax.tree.map(lambda leaf: leaf / _length(xs), total)
    return mean(results), gradient

  def backward(gradient, cotangent):
    return jax.tree.map(lambda g: cotangent[0] * g, gradient), None

  value.defvjp(forward, backward)
  return value(args, xs)


def mean_in_pieces(f: Callable, args: PyTree, tree: PyTree):
  """`batch_mean` over rows, computed in pieces that suit the machine.

  Args:
    f: `(args, piece) -> (loss, metrics)`, both means over the rows of a piece,
      which is a tree like `tree`.
    args: floats, with respect to which the loss is differentiated.
    tree: arrays with one leading axis.

  Returns:
    As for `batch_mean`, over all rows.
  """
  parts = pieces(partial(f, args), tree, summed=args)
  return batch_mean(f, args, parts, items=PIECES, unroll=_side_by_side(parts))


def mean_of_pieces(f: Callable, tree: PyTree) -> PyTree:
  """The mean of the results of `f` over pieces that suit the machine.

  It can be differentiated any number of times, with the memory of one piece,
  because each piece is computed again in the backward pass. Use it for
  gradients that are differentiated again; otherwise `mean_in_pieces` computes
  every piece only once.

  Args:
    f: `(piece) -> floats`, any pytree, whose shapes do not depend on the number
      of rows; a piece is a tree like `tree`.
    tree: arrays with one leading axis.
  """
  # A mean has the same shapes whatever the number of rows.
  shapes = jax.eval_shape(f, _shapes(tree, 1))
  parts = pieces(f, tree, summed=shapes)
  size = _length(parts)
  if size == 1:
    return f(tree)
  if num_shards() > 1:
    found = batch_map(jax.checkpoint(f, prevent_cse=False), parts, items=PIECES)
    return jax.tree.map(lambda leaf: leaf.mean(0), found)

  @partial(jax.checkpoint, prevent_cse=False)
  def add(total, part):
    return jax.tree.map(jnp.add, total, f(part)), None

  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  total, _ = jax.lax.scan(add, zeros, parts, unroll=_side_by_side(parts))
  return jax.tree.map(lambda leaf: leaf / size, total)


def batch_losses(
    f: Callable,
    own: PyTree,
    xs: PyTree,
    *,
    chunk: int | None = None,
    items: str = "items") -> Array:
  """Losses of independent items, with the memory of `chunk` items.

  Like `batch_mean`, but the losses are differentiated with respect to values of
  the items themselves. The gradient is computed item by item in the forward
  pass, and is as large as `own`. It is exact, and differentiable once, in
  reverse mode.

  Args:
    f: `(own item, x) -> scalar`.
    own: floats with one leading axis, with respect to which each item's loss is
      differentiated.
    xs: the rest of the items, with the same leading axis.
    chunk: as in `batch_map`.
    items: as in `batch_map`.

  Returns:
    One loss per item (`xs` have no gradient).
  """

  def mapped(f, own, xs):
    return batch_map(lambda item: f(*item), (own, xs), chunk=chunk, items=items)

  @jax.custom_vjp
  def losses(own, xs):
    return mapped(f, own, xs)

  def forward(own, xs):
    return mapped(jax.value_and_grad(f), own, xs)

  def backward(gradient, cotangent):

    def scaled(leaf):
      return leaf * cotangent.reshape(-1, *(1,) * (leaf.ndim - 1))

    return jax.tree.map(scaled, gradient), None

  losses.defvjp(forward, backward)
  return losses(own, xs)


def pieces(f: Callable, tree: PyTree, *, summed: PyTree = ()) -> PyTree:
  """Regroups rows to fit the cache: [B, ...] -> [B / rows, rows, ...].

  Args:
    f: the function that will be applied to each piece, a tree like `tree`.
    tree: arrays with one leading axis.
    summed: arrays, or their shapes, that every piece adds to, such as the
      gradients of weights.

  Returns:
    The regrouped tree. On a CPU, `rows` is the divisor of B whose ratio to
    `cpu_rows` is nearest to 1. Elsewhere it is B, or the share of one device if
    B can be divided evenly.
  """
  size, shards = _length(tree), num_shards()
  rows = size if size % shards else size // shards
  if platform() == "cpu":
    wanted = cpu_rows(f, tree, summed=summed)
    divisors = (r for r in range(1, size + 1) if size % r == 0)
    rows = min(divisors, key=lambda r: max(r / wanted, wanted / r))
  return jax.tree.map(
      lambda leaf: leaf.reshape(size // rows, rows, *leaf.shape[1:]), tree)


def cpu_rows(f: Callable, tree: PyTree, *, summed: PyTree = ()) -> int:
  """Number of rows for which the intermediate values of `f` are small enough.

  Args:
    f: function of a tree like `tree`; traced for one row and for two.
    tree: arrays, or their shapes, with one leading axis.
    summed: as in `pieces`.
  """
  # The difference leaves out what is computed once for all rows.
  one, two = (value_bytes(f, _shapes(tree, rows)) for rows in (1, 2))
  each = two - one
  shared = sum(
      leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(summed))
  wanted = max(_PIECE_BYTES, _PIECE_TO_WEIGHTS * shared)
  return int(np.clip(wanted // max(each, 1), 1, _PIECE_ROWS))


def map_rows(f: Callable, inputs: Array, rows: int | None = None) -> Array:
  """Applies `f` to all rows of an array, with the memory of some rows.

  Args:
    f: `(inputs [rows, ...]) -> [rows, ...]`.
    inputs: [N, ...].
    rows: number of rows processed at once, by default what suits the machine;
      the last chunk is padded.

  Returns:
    [N, ...].
  """
  size = len(inputs)
  if rows is None:
    shapes = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
    rows = cpu_rows(f, shapes) if platform() == "cpu" else _ACCELERATOR_ROWS
  rows = min(rows, -(-size // num_shards()))
  index = jnp.minimum(jnp.arange(-(-size // rows) * rows), size - 1)
  found = batch_map(
      lambda index: f(inputs[index]),
      index.reshape(-1, rows),
      chunk=1,
      items=PIECES)
  return found.reshape(-1, *found.shape[2:])[:size]


def value_bytes(f: Callable, *args: PyTree) -> int:
  """Bytes of all intermediate values of `f`, as if none were freed.

  Args:
    f: any function.
    *args: arrays, or their shapes; it is traced, not run.
  """
  return _intermediate_bytes(jax.make_jaxpr(f)(*args).jaxpr)


def working_memory() -> int:
  """Bytes of intermediate values that suit the machine.

  For a CPU, what fits near its cores; for an accelerator, a quarter of its free
  memory.
  """
  free = _free_bytes()
  return _PIECE_BYTES if platform() == "cpu" else max(free // 4, _PIECE_BYTES)


def chunk_size(f: Callable, xs: PyTree, *, budget: int | None = None) -> int:
  """The largest number of items that `f` can process at once within memory.

  Args:
    f: function of one item that holds no traced values.
    xs: items, as in `batch_map`; shapes suffice.
    budget: bytes; by default half of the free memory of the first device, or
      one item's worth if the device does not report it (CPU).

  Returns:
    Between 1 and the number of items.
  """
  size = _length(xs)
  if budget is None:
    budget = _free_bytes() // 2
  item = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), xs)
  memory = jax.jit(f).lower(item).compile().memory_analysis()
  each = memory.temp_size_in_bytes + memory.output_size_in_bytes
  return int(np.clip(budget // max(each, 1), 1, size))


def _free_bytes() -> int:
  """Free bytes of the first device; 0 if it does not report them.

  With several processes the number must be the same in all of them: then it is
  half of the device's memory.
  """
  if joined():
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit", 0) // 2
  return 0 if platform() == "cpu" else free_memory() or 0


def _side_by_side(parts: PyTree) -> int:
  """Number of pieces per iteration, so that a CPU's cores can share them."""
  if platform() != "cpu":
    return 1
  return min(_length(parts), num_cores(), _SIDE_BY_SIDE)


def _intermediate_bytes(jaxpr) -> int:
  """Bytes of all computed values; loop bodies are counted once."""
  total = 0
  for equation in jaxpr.eqns:
    inner = list(jaxprs_in_params(equation.params))
    total += sum(map(_intermediate_bytes, inner)) if inner else sum(
        var.aval.size * var.aval.dtype.itemsize
        for var in equation.outvars
        if hasattr(var.aval, "size"))
  return total


def _chunk(chunk: int | None, size: int) -> int:
  """Items at once: as given, else one on a CPU and all elsewhere."""
  if chunk is None:
    return 1 if platform() == "cpu" else size
  if chunk < 1:
    raise ValueError(f"`chunk` must be at least 1; got {chunk}.")
  return chunk


def _shapes(tree: PyTree, rows: int) -> PyTree:
  """The shapes of some rows of a tree."""
  return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype),
      tree)


def _length(xs: PyTree) -> int:
  sizes = {leaf.shape[0] for leaf in jax.tree.leaves(xs)}
  if len(sizes) != 1 or 0 in sizes:
    raise ValueError(
        "`xs` must hold arrays of one common leading size, at least 1; got "
        f"sizes {sorted(sizes)}.")
  return sizes.pop()


def _sharded(f, xs, size, chunk, shards, items):
  """`batch_map` over several devices; all of them get all results."""
  devices.shared_out(items, size)
  # The last item is repeated to fill the last shard; the copies are dropped.
  index = jnp.minimum(jnp.arange(-(-size // shards) * shards), size - 1)
  mapped = devices.sharded(partial(batch_map, f, chunk=chunk))
  padded = jax.tree.map(lambda leaf: leaf[index], xs)
  return jax.tree.map(
      lambda leaf: devices.everywhere(leaf[:size]), mapped(padded))
