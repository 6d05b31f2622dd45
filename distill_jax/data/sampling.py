"""Samplers: draw batches from a split as pure functions of a key.

A sampler is made by a function below and has the form `sample(key, split) ->
Batch`. Indices are drawn without replacement within a draw, the raw rows are
gathered, and only these rows are mapped to model space. All of it runs under
`jit` and is cheap inside a `scan`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from distill_jax.data.source import Split
from distill_jax.errors import DataError
from distill_jax.types import Array, Batch, LazyInputs, Sampler


def mixed(batch_size: int, *, num_batches: int | None = None) -> Sampler:
  """Draws batches uniformly from all classes together.

  Args:
    batch_size: B, samples per batch, all different.
    num_batches: if given, each draw is this number of batches, whose samples
      are all different, with one more leading axis; if None, one batch without
      that axis.

  Returns:
    `sample(key, split) -> Batch` with inputs [B, ...] in model space and labels
    [B] int32. It raises `DataError` when it is traced on a split with fewer
    samples than one draw needs.

  Example:
    sample = dd.mixed(32)
    batch = sample(key, source.train)
  """
  _check_positive("batch_size", batch_size)
  if num_batches is not None:
    _check_positive("num_batches", num_batches)
  wanted = batch_size * (num_batches or 1)

  def sample(key, split):
    size = split.num_samples
    if wanted > size:
      raise DataError(
          f"`batch_size` must be at most the {size} samples of the split; got "
          f"{wanted}{' in all batches' if num_batches else ''}. Lower it.")
    rows = _distinct(key, jnp.array([size]), size, wanted)[0]
    batch = Batch(split.encode(split.inputs[rows]), split.labels[rows])
    if num_batches is None:
      return batch
    return jax.tree.map(
        lambda x: x.reshape(num_batches, batch_size, *x.shape[1:]), batch)

  return sample


def per_class(
    samples_per_class: int,
    *,
    lazy: bool = False,
    classes: np.ndarray | None = None) -> Sampler:
  """Draws batches with the same number of samples of every class.

  The number of samples of each class is known only on the device. Therefore
  call `check_per_class` on the split once before tracing. If a class has fewer
  than n samples, every sample of it is drawn floor(n / size) times and the rest
  of the draw at random, so that means over the class stay unbiased.

  Args:
    samples_per_class: n, samples per class and draw, all different if the class
      has at least n.
    lazy: whether to draw `types.LazyInputs` in place of inputs. Gradient,
      distribution and characteristic-function matching then gather the inputs
      of a class when its turn comes. The drawn samples are the same; use it to
      save memory where many classes are matched one after the other.
    classes: [K'] int, the classes to draw from, for splits that lack classes
      (`Split.present`); by default all K.

  Returns:
    `sample(key, split) -> Batch` with inputs [K, n, ...] in model space, or
    `LazyInputs` of that shape, and labels [K, n] int32; with `classes`, K' in
    place of K. It raises `DataError` when it is traced on a split whose largest
    class has fewer than n samples.

  Example:
    sample = dd.per_class(16)
    batch = sample(key, source.train)  # inputs [K, 16, ...]
  """
  _check_positive("samples_per_class", samples_per_class)

  def sample(key, split):
    members, counts = split.members, split.counts
    if classes is not None:
      members, counts = members[classes], counts[classes]
    largest = members.shape[1]
    if samples_per_class > largest:
      raise _too_few(samples_per_class, largest, "the largest class")
    slots = _distinct(key, counts, largest, samples_per_class)
    rows = jnp.take_along_axis(members, slots, axis=1)
    inputs = LazyInputs(rows, split)
    return Batch(inputs if lazy else inputs.gather(rows), split.labels[rows])

  return sample


def with_extra(sample: Sampler, other: Callable[[Array, Any], Any]) -> Sampler:
  """Draws batches of one sampler, with the draw of another as their `extra`."""

  def both(key, data):
    k_batch, k_extra = jax.random.split(key)
    return sample(k_batch, data)._replace(extra=other(k_extra, data))

  return both


def check_per_class(
    split: Split,
    samples_per_class: int,
    class_names: Sequence[str] = (),
    *,
    argument: str = "samples_per_class",
    classes: np.ndarray | None = None):
  """Checks on the host that every class has enough samples for `per_class`.

  Args:
    split: the split that will be sampled.
    samples_per_class: n, as for `per_class`.
    class_names: K names, for the message.
    argument: the caller's name of n, for the message.
    classes: [K'] int, the classes that will be drawn from; by default all K.

  Raises:
    DataError: a class has fewer than n samples.
  """
  counts = np.asarray(split.counts)
  classes = np.arange(len(counts)) if classes is None else classes
  smallest = int(classes[counts[classes].argmin()])
  if samples_per_class > counts[smallest]:
    name = class_names[smallest] if class_names else smallest
    raise _too_few(
        samples_per_class, counts[smallest], f"class {name!r}", argument)


def _too_few(samples_per_class, count, holder, argument="samples_per_class"):
  return DataError(
      f"`{argument}` must be at most the {count} samples of {holder}; "
      f"got {samples_per_class}. Lower it or add data.")


def _check_positive(name, value):
  if value < 1:
    raise ValueError(f"`{name}` must be at least 1; got {value}.")


# Milliseconds per draw, jitted inside a `scan`, 2 CPU cores, jax 0.10.2:
#                                   permutation  top_k  redrawing
#   1,024 of 60,000                        32.6   1.09       0.09
#   256 from each of 10 x 6,000            14.4   1.44       0.38
#   10 from each of 10 x 6,000             14.6   0.58       0.03
# Redrawing becomes slow when most of a class is drawn (4,900 from each of 10 x
# 6,000: 275 ms against 10 ms). Draws of more than half a class therefore rank
# random scores instead.
def _distinct(key, counts, size, num):
  """Draws `num` different integers below `counts[k]`, for every k.

  If a count is smaller than `num`, all integers below it come in random order,
  and then again until `num` are drawn.

  Args:
    key: consumed.
    counts: [K] int32, at most `size`.
    size: a static bound of `counts`.
    num: integers per row.

  Returns:
    [K, num] int32.
  """
  return lax.cond(
      jnp.any(counts < 2 * num), lambda: _ranked(key, counts, size, num),
      lambda: _redrawn(key, counts, size, num))


def _ranked(key, counts, size, num):
  """Returns the positions of the largest of `size` random scores."""
  scores = jax.random.uniform(key, (len(counts), size))
  scores = jnp.where(jnp.arange(size) < counts[:, None], scores, -1.0)
  ranked = lax.top_k(scores, num)[1]
  again = jnp.arange(num) % jnp.maximum(counts, 1)[:, None]
  return jnp.take_along_axis(ranked, again, axis=1)


def _redrawn(key, counts, size, num):
  """Redraws values that repeat an earlier one, until all are different.

  The result is exactly uniform. The procedure looks only at which values are
  equal, so renaming the values renames the outcome; hence every ordered tuple
  of different values is equally likely.
  """
  shape = len(counts), num
  place = jnp.broadcast_to(jnp.arange(num), shape)
  row = jnp.arange(len(counts))[:, None]
  enough = counts[:, None] >= 2 * num  # a batched `cond` runs both branches

  def repeats(drawn):
    first = jnp.full((len(counts), size), num).at[row, drawn].min(place)
    return (first[row, drawn] < place) & enough

  def redraw(carry):
    key, drawn, wrong = carry
    key, k_draw = jax.random.split(key)
    fresh = jax.random.randint(k_draw, shape, 0, counts[:, None], jnp.int32)
    drawn = jnp.where(wrong, fresh, drawn)
    return key, drawn, repeats(drawn)

  start = key, jnp.zeros(shape, jnp.int32), jnp.ones(shape, bool)
  return lax.while_loop(lambda carry: carry[2].any(), redraw, start)[1]
