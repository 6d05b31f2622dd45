"""Draws from a split: pure functions of a key, cheap inside a `scan`.

A sampler is a factory that returns `sample(key, split) -> Batch`. Indices are
drawn without replacement within a draw, the rows are gathered raw, and only
they are taken to model space, so all of it runs under `jit`.
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
  """Batches drawn uniformly from all classes together.

  Args:
    batch_size: B, samples per batch, all different.
    num_batches: draws so many batches at once, all their samples different,
      along one more leading axis; None for one without that axis.

  Returns:
    `sample(key, split) -> Batch` of inputs [B, ...] in model space and labels
    [B] int32. It raises `DataError` when traced on a split with fewer than B
    samples.

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
  """Batches with the same number of samples of every class.

  How many samples each class has is known only on the device: call
  `check_per_class` on the split once before tracing. A class that is too
  small is drawn whole, every sample floor(n / size) times and the rest of the
  draw at random, so that means over the class stay unbiased.

  Args:
    samples_per_class: n, samples per class and draw, all different where the
      class has so many.
    lazy: draws `types.LazyInputs`; gradient, distribution and characteristic
      matching gather the inputs of a class when its turn comes. The same draw;
      it saves memory where classes are many and matched one after the other.
    classes: [K'] int, those to draw from, for splits that lack classes
      (`Split.present`); by default all K.

  Returns:
    `sample(key, split) -> Batch` of inputs [K, n, ...] in model space, or what
    stands for them, and labels [K, n] int32; K' in place of K with `classes`.
    It raises `DataError` when traced
    on a split whose largest class has fewer than n samples.

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
  """Batches of one sampler whose `extra` is the draw of another."""

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
  """Checks on the host that every class can serve `per_class`.

  Args:
    split: the split that will be sampled.
    samples_per_class: n, as for `per_class`.
    class_names: K names for the message.
    argument: what the caller calls n, for the message.
    classes: [K'] int, those that will be drawn from; by default all K.

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
# Redrawing slows down as a class is used up (4,900 from each of 10 x 6,000: 275
# against 10), so draws of more than half a class rank random scores instead.
def _distinct(key, counts, size, num):
  """Draws `num` different integers below `counts[k]`, for every k.

  Where a count is smaller, all below it come in random order, again and again.

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
  """The places of the largest of `size` random scores."""
  scores = jax.random.uniform(key, (len(counts), size))
  scores = jnp.where(jnp.arange(size) < counts[:, None], scores, -1.0)
  ranked = lax.top_k(scores, num)[1]
  again = jnp.arange(num) % jnp.maximum(counts, 1)[:, None]
  return jnp.take_along_axis(ranked, again, axis=1)


def _redrawn(key, counts, size, num):
  """Redraws what repeats an earlier place until nothing does.

  Exact: the procedure looks only at which values are equal, so renaming the
  values renames the outcome; hence every ordered tuple of different values is
  equally likely.
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
