"""The start of a distilled set: samples, labels, step sizes and their order.

Layout of a set of S steps with n samples each: rows are step-major. Within a
step the classes have one explicit order, and are class-major if there are
several samples per class (0, 0, 1, 1, ...). Step sizes are epoch-major: t = e *
S + s.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax import selection
from distill_jax.data.source import Source, Split, check_source, rows_of
from distill_jax.errors import shown
from distill_jax.keys import check_key
from distill_jax.labels import label_rows, num_outputs
from distill_jax.types import Array, Distilled, Layout, Parameterization


def step_order(num_samples: int, num_steps: int) -> Array:
  """[S, n] int32: the rows that form each step.

  Raises:
    ValueError: `num_samples` is not a positive multiple of `num_steps`.

  Example:
    order = dd.step_order(6, num_steps=2)  # [[0, 1, 2], [3, 4, 5]]
  """
  if num_steps < 1 or num_samples < 1 or num_samples % num_steps:
    raise ValueError(
        "`num_samples` must be a positive multiple of the number of steps; "
        f"got {num_samples} samples in {num_steps} steps.")
  rows = np.arange(num_samples, dtype=np.int32)
  return jnp.asarray(rows.reshape(num_steps, -1))


def start_classes(
    num_samples: int, num_steps: int, num_classes: int) -> np.ndarray:
  """[M] int32: the class each row starts from, in the layout above.

  The classes are taken in turn; each step continues where the previous one
  stopped. Within a step of more than K samples, rows are class-major.
  """
  shape = step_order(num_samples, num_steps).shape
  classes = np.arange(num_samples, dtype=np.int32).reshape(shape) % num_classes
  if shape[1] > num_classes:
    classes = np.sort(classes)
  return classes.ravel()


def class_members(classes: np.ndarray, num_classes: int) -> Array:
  """[K', m] int32, the rows of each class that occurs, in ascending order.

  Args:
    classes: [M] int, the class of each row.
    num_classes: K.

  Raises:
    ValueError: the classes that occur have different numbers of rows.

  Example:
    members = dd.class_members([0, 0, 1, 1, 2, 2], 3)  # [3, 2]
  """
  classes = np.asarray(classes)
  present, counts = np.unique(classes, return_counts=True)
  if not len(present) or present[-1] >= num_classes:
    raise ValueError(
        f"`classes` must be 0..{num_classes - 1}; got "
        f"{present[-1] if len(present) else 'none'}.")
  if counts.min() != counts.max():
    raise ValueError(
        "`classes` must hold every class equally often; got "
        f"{counts.min()} to {counts.max()} rows a class. Ask for a multiple of "
        f"the {len(present)} classes.")
  rows = np.argsort(classes, kind="stable").astype(np.int32)
  return jnp.asarray(rows.reshape(len(present), -1))


def samples_of(rows: Array, owner: Array) -> Array:
  """Replaces label rows by their decoded samples, in `order` or `members`.

  Args:
    rows: [..., n] int, label rows.
    owner: [M] int, the label row of each sample (`Parameterization.owner`);
      every row must have the same number of samples.

  Returns:
    [..., n * M / R] int32.
  """
  owner, rows = np.asarray(owner), np.asarray(rows)
  samples = np.argsort(owner, kind="stable").astype(np.int32)
  samples = samples.reshape(owner.max() + 1, -1)
  return jnp.asarray(samples[rows].reshape(*rows.shape[:-1], -1))


def present_classes(
    source: Source, num_rows: int, num_steps: int = 1) -> np.ndarray:
  """[R] int32, as `start_classes`, for the classes that have real samples."""
  present = source.train.present
  return present[start_classes(num_rows, num_steps, len(present))]


def layout(
    source: Source, parameterization_owner: Array, *, num_rows: int,
    num_steps: int) -> Layout:
  """The layout of a set, over the classes that have real samples.

  Args:
    source: a `data.Source`.
    parameterization_owner: [M] int, the label row of each decoded sample
      (`Parameterization.owner`).
    num_rows: R.
    num_steps: S; R must be a multiple of it.
  """
  present = source.train.present
  classes = present_classes(source, num_rows, num_steps)
  members = None
  if num_rows % len(present) == 0:
    members = class_members(classes, source.num_classes)
    members = samples_of(members, parameterization_owner)
  order = samples_of(step_order(num_rows, num_steps), parameterization_owner)
  return Layout(classes, order, members, present)


def raw_step_sizes(step_size: float, num: int) -> Array:
  """[T] values whose softplus is `step_size`: log(exp(step_size) - 1)."""
  if not step_size > 0:
    raise ValueError(f"`step_size` must be positive; got {step_size}.")
  raw = step_size + np.log(-np.expm1(-step_size))
  return jnp.full((num,), raw, jnp.float32)


def noise(key: Array, num_samples: int, shape: tuple[int, ...]) -> Array:
  """Standard normal inputs [M, *shape], in model space."""
  return jax.random.normal(key, (num_samples, *shape), jnp.float32)


def one_hot(classes: np.ndarray, num_classes: int) -> Array:
  """Label rows [M, K] of the start classes."""
  return label_rows(jnp.asarray(classes), num_classes)


def shared_labels(
    classes: np.ndarray,
    num_classes: int,
    present: np.ndarray | None = None) -> Array:
  """One-hot rows [M, K], shared with the classes that have no row of their own.

  These classes are assigned to rows in turn; a row that is shared by several
  classes gives each an equal part. If every class has a row, this is `one_hot`.

  Args:
    classes: [M] int, the class of each row.
    num_classes: K.
    present: [K'] int, the classes that have real samples; by default all K.
  """
  rows = np.array(one_hot(classes, num_classes))
  if rows.shape[1] == 1:
    return jnp.asarray(rows)
  present = np.arange(num_classes) if present is None else present
  absent = np.setdiff1d(present, classes)
  rows[np.arange(len(absent)) % len(rows), absent] = 1
  return jnp.asarray(rows / rows.sum(1, keepdims=True))


def noise_labels(key: Array, num_samples: int, num_classes: int) -> Array:
  """Standard normal label rows [M, K]."""
  shape = (num_samples, num_outputs(num_classes))
  return jax.random.normal(key, shape, jnp.float32)


def real(
    key: Array, split: Split, classes: np.ndarray, per_row: int = 1) -> Array:
  """Real samples [M, ...] of the given classes, in model space.

  Samples of one class are all different, until the class is used up.

  Args:
    key: consumed.
    split: a `data.Split`.
    classes: [M] int, the class of each sample.
    per_row: number of samples of a label row, side by side.

  Raises:
    ValueError: a class has fewer samples than label rows.
  """
  counts = np.asarray(split.counts)
  count_wanted(split, classes[::per_row])
  wanted = np.bincount(classes, minlength=len(counts))
  rows = np.empty(len(classes), np.int64)
  for c in np.flatnonzero(wanted):
    members = split.rows_of_class(c)
    chosen = jax.random.permutation(jax.random.fold_in(key, c), members)
    rows[classes == c] = np.resize(chosen, wanted[c])
  return split.encode(rows_of(split.inputs, rows))


def count_wanted(
    split: Split, classes: np.ndarray,
    class_names: Sequence[str] = ()) -> np.ndarray:
  """[K] number of rows per class; the split must have as many samples.

  Args:
    split: a `data.Split`.
    classes: [M] int, the class of each row.
    class_names: K names, for the message.

  Raises:
    ValueError: a class has fewer samples than rows.
  """
  counts = np.asarray(split.counts)
  wanted = np.bincount(classes, minlength=len(counts))
  if (wanted > counts).any():
    short = int(np.argmax(wanted > counts))
    name = class_names[short] if class_names else short
    raise ValueError(
        "`per_class` must not exceed the real training samples of a class; "
        f"class {shown(name)} has {counts[short]} and {wanted[short]} were "
        "asked for. Ask for fewer, or take a method with start=\"noise\".")
  return wanted


def start(
    key: Array, inputs: Array, labels: Array,
    parameterization: Parameterization, *, step_size: float | None,
    num_inner_steps: int) -> Distilled:
  """Makes a `Distilled` from inputs, label rows [R, K] and one step size.

  Args:
    key: consumed.
    inputs: [R * r, ...]; r is the number of inputs that the parameterization
      takes per row.
    labels: [R, K].
    parameterization: makes codes of the inputs.
    step_size: initial value of every inner step size; None for a method without
      step sizes.
    num_inner_steps: T, number of step sizes.
  """
  wanted = len(labels) * parameterization.inputs_per_row
  if len(inputs) != wanted:
    raise ValueError(
        f"`inputs` must be {wanted}, {parameterization.inputs_per_row} for "
        f"each of {len(labels)} label rows; got {len(inputs)}.")
  return Distilled(
      codes=parameterization.init(key, inputs),
      labels=labels,
      raw_step_sizes=(
          jnp.zeros((0,)) if step_size is None else raw_step_sizes(
              step_size, num_inner_steps)))


def from_drawn(
    key: Array,
    source: Source,
    parameterization: Parameterization,
    draw: Callable[[Array, np.ndarray], Array],
    *,
    num_samples: int,
    num_steps: int = 1,
    num_epochs: int = 1,
    step_size: float | None = None,
    labels: Array | None = None) -> Distilled:
  """Makes a set that starts from inputs which are drawn for its classes.

  Only classes with samples in `source.train` are used.

  Args:
    key: consumed.
    source: a `data.Source`.
    parameterization: how the samples are stored.
    draw: `(key, classes [R * r]) -> inputs [R * r, ...]` in model space; r is
      the number of inputs that the parameterization takes per label row.
    num_samples: R, number of label rows; it may be less than the number of
      classes.
    num_steps: S; `num_samples` must be a multiple of it.
    num_epochs: E; there are E * S inner steps.
    step_size: initial value of every inner step size; None for a method without
      step sizes.
    labels: [R, K]; by default one-hot rows of the start classes.
  """
  check_key(key)
  check_source(source)
  k_inputs, k_codes = jax.random.split(key)
  present = source.train.present
  classes = present[start_classes(num_samples, num_steps, len(present))]
  if labels is None:
    labels = one_hot(classes, source.num_classes)
  drawn = draw(k_inputs, np.repeat(classes, parameterization.inputs_per_row))
  parameterization = parameterization._replace(
      init=selection.initialiser(parameterization, source.train, classes))
  return start(
      k_codes,
      drawn,
      labels,
      parameterization,
      step_size=step_size,
      num_inner_steps=num_epochs * num_steps)


def _from(draw: Callable) -> Callable[..., Distilled]:
  """Makes a start of `draw(key, source, classes [n], per_row) -> [n, ...]`."""

  def begin(
      key: Array,
      source: Source,
      parameterization: Parameterization,
      *,
      num_samples: int,
      num_steps: int = 1,
      num_epochs: int = 1,
      step_size: float | None = None,
      labels: Array | None = None) -> Distilled:
    return from_drawn(
        key,
        source,
        parameterization,
        lambda key, classes: draw(
            key, source, classes, parameterization.inputs_per_row),
        num_samples=num_samples,
        num_steps=num_steps,
        num_epochs=num_epochs,
        step_size=step_size,
        labels=labels)

  begin.__name__ = begin.__qualname__ = draw.__name__
  begin.__doc__ = draw.__doc__
  begin.__module__ = draw.__module__
  return begin


@_from
def from_noise(key, source, classes, per_row):
  """Starts from standard normal inputs; arguments as in `from_drawn`.

  Example:
    start = dd.from_noise(key, source, dd.pixels(), num_samples=6)
  """
  del per_row
  return noise(key, len(classes), source.example.shape[1:])


@_from
def from_real(key, source, classes, per_row):
  """Starts from random real samples of each class; arguments: `from_drawn`.

  Example:
    start = dd.from_real(key, source, dd.pixels(), num_samples=6)
  """
  count_wanted(source.train, classes[::per_row], source.class_names)
  return real(key, source.train, classes, per_row)


@_from
def from_class_means(key, source, classes, per_row):
  """Starts from the mean of each class, plus a little noise.

  The noise has a standard deviation of 0.01 in model space, so that rows of one
  class become different. Arguments as in `from_drawn`.
  """
  del per_row
  means = selection.class_mean(source.train, classes)[0]
  return means + 0.01 * noise(key, len(classes), means.shape[1:])


@_from
def from_kmeans(key, source, classes, per_row):
  """Starts from k-means centroids of each class; arguments: `from_drawn`."""
  del per_row
  return selection.kmeans(key, source.train, classes, 1)[0]


@_from
def from_herding(key, source, classes, per_row):
  """Starts from real samples chosen by herding; arguments: `from_drawn`."""
  del key, per_row
  return selection.herding(source.train, classes)[0]
