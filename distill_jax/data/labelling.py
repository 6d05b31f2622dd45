"""From whatever labels users have to class indices 0..K-1 and names."""

import numpy as np

from distill_jax.errors import DataError


def as_labels(argument: str, labels):
  """Checks that labels are one class per sample.

  Args:
    argument: what to call them in messages.
    labels: [N] or [N, 1] integers, booleans, whole floats or strings.

  Returns:
    [N] int64 or str.

  Raises:
    DataError: several labels per sample, or targets that are not classes.
  """
  labels = np.asarray(labels)
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.ndim != 1:
    raise DataError(
        f"`{argument}` must be [N], one class per sample; got shape "
        f"{labels.shape}. Take the argmax of one-hot labels; several labels "
        "per sample are not supported.")
  if labels.dtype.kind == "f":
    _check_whole(argument, labels)
  if labels.dtype.kind in "biuf":
    return labels.astype(np.int64)
  if labels.dtype.kind == "U" or all(isinstance(name, str) for name in labels):
    return labels.astype(str)
  raise DataError(
      f"`{argument}` must be integers or strings; got {labels.dtype}.")


def name_classes(labels, class_names=None) -> tuple[str, ...]:
  """The class names: as given, or from the training labels.

  Args:
    labels: [N] int64 or str, of the training part.
    class_names: K names, or None.

  Returns:
    K names: those given, the sorted strings, or "0".."K-1".

  Raises:
    DataError: a name occurs twice, or an index below the largest is unused.
  """
  if class_names is not None:
    names = tuple(str(name) for name in class_names)
    if len(set(names)) < len(names):
      raise DataError(f"`class_names` must differ; got {names}.")
    return names
  present = np.unique(labels)
  if labels.dtype.kind == "U":
    return tuple(present.tolist())
  present = present[present >= 0]  # `indices` names a negative label
  absent = np.flatnonzero(present != np.arange(len(present)))
  if len(absent):
    raise DataError(
        "`y_train` must hold samples of every class; got an empty class "
        f"'{absent[0]}'. Add samples of it, number the classes 0, 1, 2, ..., "
        "or name them all in `class_names`.")
  return tuple(str(label) for label in range(len(present)))


def indices(argument: str, labels, class_names):
  """Class indices of labels.

  Args:
    argument: what to call them in messages.
    labels: [N] int64 indices, or str names.
    class_names: K names.

  Returns:
    [N] int32, 0..K-1.

  Raises:
    DataError: a label that is none of the classes, with its row.
  """
  if labels.dtype.kind == "U":
    places = {name: index for index, name in enumerate(class_names)}
    found = np.array([places.get(name, -1) for name in labels.tolist()])
    rule = "one of the classes of the training part"
  else:
    found, rule = labels, f"0..{len(class_names) - 1}"
  bad = np.flatnonzero((found < 0) | (found >= len(class_names)))
  if len(bad):
    raise DataError(
        f"`{argument}` must be {rule}; got {labels[bad[0]].item()!r} in row "
        f"{bad[0]}.")
  return found.astype(np.int32)


def _check_whole(argument, labels):
  wrong = np.flatnonzero(labels != np.round(labels))  # NaN included
  infinite = np.flatnonzero(~np.isfinite(labels))
  wrong = wrong if len(wrong) else infinite
  if len(wrong):
    raise DataError(
        f"`{argument}` must be classes, not real numbers; got "
        f"{labels[wrong[0]]} in row {wrong[0]}. Regression is not supported.")
