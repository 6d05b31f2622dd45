"""RDED's selection: the crops of real images with the lowest teacher loss.

Sun et al., "On the Diversity and Realism of Distilled Dataset: An Efficient
Dataset Distillation Paradigm", 2023, arXiv 2312.03526. For each class, some
real images are drawn, and some crops of each image. Of each image, the crop
with the smallest cross-entropy is a candidate, and the candidates with the
smallest cross-entropy are selected.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from distill_jax.augmentation import resized_crop
from distill_jax.data.source import Split, rows_of
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.parallel import batch_map
from distill_jax.types import Array, PyTree


def surest(
    key: Array,
    split: Split,
    classes: np.ndarray,
    outputs: Callable[[PyTree, Array], Array],
    teacher: PyTree,
    *,
    candidates: int = 300,
    num_crops: int = 5,
    least_area: float = 0.08) -> Array:
  """Selects the crops of real images with the lowest teacher loss: [M, ...].

  Rows of one class are sorted by their cross-entropy, smallest first.

  Args:
    key: consumed; class c uses `fold_in(key, c)`.
    split: real data.
    classes: [M] int, the class of each row, which must have real samples.
    outputs: `(teacher, inputs [B, ...]) -> logits [B, K]`. Build it once: a new
      function is compiled again.
    teacher: variables of the teacher.
    candidates: number of real samples drawn per class, without replacement. It
      is raised to the number of rows of the class, and lowered to the number of
      its samples. If a class has fewer samples than rows, rows repeat.
    num_crops: crops per image; 0 for only the whole image, as for data that are
      not images.
    least_area: smallest area of a crop; see `augmentation.resized_crop`.

  Raises:
    ValueError: a number is out of its range, or crops of data that are not
      images.
  """
  if candidates < 1 or num_crops < 0:
    raise ValueError(
        "`candidates` must be at least 1 and `num_crops` at least 0; got "
        f"{candidates} and {num_crops}.")
  if num_crops and len(split.sample_shape) != 3:
    raise ValueError(
        "`num_crops` must be 0 for samples that are no images; got "
        f"{num_crops} for samples {split.sample_shape}.")
  score = jax.jit(best_crops, static_argnums=(4, 5, 6))
  counts, most = np.asarray(split.counts), int(np.bincount(classes).max())
  width = split.members.shape[1]
  size = min(max(candidates, most), width)
  found = None
  for c in np.unique(classes):
    k_draw, k_crops = jax.random.split(jax.random.fold_in(key, int(c)))
    rows, num = np.flatnonzero(classes == c), min(size, int(counts[c]))
    # Equally many indices for each class, so that one program serves all: the
    # first `num` are drawn, and then repeated.
    order = np.asarray(jax.random.uniform(k_draw, (width,)))
    order = np.where(np.arange(width) < counts[c], order, 2.0)
    place = np.resize(order.argsort(kind="stable")[:num], size)
    drawn = np.asarray(split.members[c])[place]
    inputs = split.encode(rows_of(split.inputs, drawn))
    label = label_rows(jnp.array([c]), split.num_classes)[0]
    crops, losses = score(
        k_crops, inputs, label, teacher, outputs, num_crops, least_area)
    best = np.argsort(np.asarray(losses)[:num], kind="stable")
    best = np.resize(best[:len(rows)], len(rows))
    if found is None:
      found = np.empty((len(classes), *crops.shape[1:]), np.float32)
    found[rows] = np.asarray(crops)[best]
  return jnp.asarray(found)


def best_crops(
    key: Array, inputs: Array, label: Array, teacher: PyTree,
    outputs: Callable[[PyTree, Array], Array], num_crops: int,
    least_area: float) -> tuple[Array, Array]:
  """The crop of each image [n, ...] with the smallest loss, and that loss [n].

  Args:
    key: consumed; image i uses the i-th of its children.
    inputs: [n, ...] of one class, in model space.
    label: [K], the label row of that class.
    teacher: see `surest`.
    outputs: see `surest`.
    num_crops: crops per image; 0 for only the whole image.
    least_area: smallest area of a crop.
  """
  crop = resized_crop(least_area) if num_crops else None

  def one(item):
    key, image = item
    crops = image[None]
    if crop is not None:
      crops = jnp.broadcast_to(image, (num_crops, *image.shape))
      crops = crop.apply(crop.draw(key, crops.shape, num_crops), crops)
    losses = jax.vmap(lambda row: cross_entropy(row[None], label[None]))(
        outputs(teacher, crops))
    place = losses.argmin()
    return crops[place], losses[place]

  keys = jax.random.split(key, len(inputs))
  return batch_map(one, (keys, inputs), items="images")
