"""Maps labels of any usual kind to class indices 0..K-1 and class names.

Two labels are the same class if their names agree. Texts are compared in
Unicode's NFC form without surrounding spaces, whole numbers by their value. So
3, "3", "3.0" and b"3" are one class, and so are True, "true" and 1.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TypeGuard

import numpy as np

from distill_jax.data.arrays import as_array, check_present, is_missing
from distill_jax.errors import DataError, listed, shown
from distill_jax.text.tokens import in_utf8

# Longer numbers are compared as texts; Python does not convert all of them.
_NUMBER = re.compile(r"([+-]?\d{1,300})(\.0*)?")
_BOOLEANS = {"false": 0, "true": 1}
_MANY = 20  # more classes than this, if unusual, are taken for measurements


def as_labels(argument: str, labels):
  """Checks that labels are one class per sample.

  Args:
    argument: name of the argument, for messages.
    labels: [N] or [N, 1] integers, booleans, whole floats, strings or bytes.

  Returns:
    [N] int64 or str.

  Raises:
    DataError: a sample has several labels or none, or the labels are targets of
      a regression.
  """
  labels = as_array(argument, labels)
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  if labels.ndim != 1:
    raise DataError(
        f"`{argument}` must be [N], one class per sample; got shape "
        f"{labels.shape}. Take the argmax of one-hot labels; several labels "
        "per sample are not supported.")
  if labels.dtype.kind == "f":
    check_present(argument, np.isnan(labels))
  if labels.dtype.kind in "uf":
    _check_whole(argument, labels)
  if labels.dtype.kind in "biuf":
    return labels.astype(np.int64)
  if labels.dtype.kind in "SU":
    values, places = np.unique(labels, return_inverse=True)
    names = np.array([_plain(argument, name) for name in values.tolist()], str)
    missing = np.array([is_missing(name) for name in names], bool)
    check_present(
        argument,
        missing[places],
        remedy="Drop these rows, or rename the class"
        f" {listed(names[missing])} if it is one.")
    return names[places]
  raise DataError(
      f"`{argument}` must be integers or strings; got {labels.dtype}.")


def meaning(name: str) -> int | str:
  """A key that is equal for all labels of one class; see the module."""
  name = unicodedata.normalize("NFC", name.strip())
  number = _NUMBER.fullmatch(name)
  return int(number[1]) if number else _BOOLEANS.get(name.lower(), name)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
  """Sorts whole numbers by value, and other names alphabetically."""
  names = list(names)
  numbers = all(isinstance(meaning(name), int) for name in names)
  return tuple(sorted(names, key=meaning if numbers else None))


def is_by_label(class_names: object) -> TypeGuard[Mapping]:
  """Whether names are given as {label: name}, in a dict or a pandas Series."""
  return hasattr(class_names, "items")


def as_names(class_names) -> tuple[str, ...]:
  """Class names from texts, bytes or numbers, or from a dict {label: name}.

  Raises:
    DataError: they have no order, or the dict has a label twice.
  """
  if is_by_label(class_names):
    named = _by_label(class_names)
    class_names = [named[label] for label in in_order(named)]
  in_order_given = np.iterable(class_names) and not isinstance(
      class_names, str | bytes | Set)
  names = list(class_names) if in_order_given else []
  if not names:
    raise DataError(
        "`class_names` must be a list of names in the order of the classes, or "
        f"a dict {{label: name}}; got {shown(class_names)}.")
  return tuple(map(str, as_labels("class_names", names).tolist()))


def name_classes(labels, class_names=None) -> tuple[str, ...]:
  """Returns the class names: those given, or those of the training labels.

  Args:
    labels: [N] int64 or str, labels of the training part.
    class_names: K names, see `as_names`, or None.

  Returns:
    K names: those given, the strings sorted by `in_order`, or "0".."K-1".

  Raises:
    DataError: a class has two names, or an index below the largest is unused.
  """
  if class_names is not None:
    return _each_once("class_names", as_names(class_names))
  present = np.unique(labels)
  if labels.dtype.kind == "U":
    _check_targets(present)
    return _each_once("y_train", in_order(present.tolist()))
  if present.min(initial=0) < 0:
    raise DataError(
        f"`y_train` must be 0..{max(present[-1], 0)}; got {present[0]} in row "
        f"{labels.argmin()}. Number the classes 0, 1, 2, ..., or name them all "
        "in `class_names`.")
  absent = np.flatnonzero(present != np.arange(len(present)))
  if len(absent) and len(present) > _MANY:
    raise DataError(
        f"`y_train` must be classes 0..K-1; got {len(present):,} different "
        f"numbers up to {present[-1]}, which look like regression targets. "
        "Regression is not supported; sort them into a few ranges.")
  if len(absent):
    raise DataError(
        "`y_train` must hold samples of every class; got an empty class "
        f"'{absent[0]}'. Add samples of it, number the classes 0, 1, 2, ..., "
        "or name them all in `class_names`.")
  return tuple(str(label) for label in range(len(present)))


def renamed(argument: str, labels, names: Mapping):
  """Replaces labels by their names in a dict {label: name}.

  Args:
    argument: name of the labels' argument, for messages.
    labels: [N] int64 or str.
    names: a name for every label.

  Raises:
    DataError: a label without a name.
  """
  keys = in_order(_by_label(names))
  return np.array(as_names(names))[indices(argument, labels.astype(str), keys)]


def indices(argument: str, labels, class_names: Sequence[str] | np.ndarray):
  """Returns the class indices of labels.

  Args:
    argument: name of the labels' argument, for messages.
    labels: [N] int64 or str. Integers are class indices; if all class names are
      whole numbers, integers are names.
    class_names: K names.

  Returns:
    [N] int32, 0..K-1.

  Raises:
    DataError: a label is not one of the classes; the message names its row.
  """
  means = [meaning(name) for name in class_names]
  values, inverse = np.unique(labels, return_inverse=True)
  rule = f"0..{len(means) - 1}"
  if labels.dtype.kind == "U" or all(isinstance(m, int) for m in means):
    if labels.dtype.kind != "U" and means != sorted(means):
      raise DataError(
          f"`{argument}` must be names where the classes are numbers out of "
          f"order, {listed(class_names)}: an integer could be a class's number "
          "or its place. Sort `class_names`, or give labels as strings.")
    if means != list(range(len(means))):
      rule = f"one of the classes {listed(class_names)}"
    places = {m: index for index, m in enumerate(means)}
    found = [places.get(meaning(str(value)), -1) for value in values.tolist()]
  else:
    _check_places(argument, values, class_names)
    found = np.where((values < 0) | (values >= len(means)), -1, values)
  found = np.asarray(found, np.int32)[inverse]
  bad = np.flatnonzero(found < 0)
  if len(bad):
    raise DataError(
        f"`{argument}` must be {rule}; got "
        f"{shown(labels[bad[0]].item())} in row {bad[0]}.")
  return found


def places(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
  """Returns for each of `names` its index in `wanted`: [K] int32.

  Raises:
    DataError: they are not the same classes; the message says which differ.
  """
  ours, theirs = ({meaning(name): name for name in n} for n in (wanted, names))
  lacking = [name for m, name in ours.items() if m not in theirs]
  more = [name for m, name in theirs.items() if m not in ours]
  if lacking or more:
    raise DataError(
        "the data must have the classes of the set; they lack "
        f"{listed(lacking, 3, 16) or 'none'} and have "
        f"{listed(more, 3, 16) or 'none'} besides. Name them so in "
        "`class_names`, or take the data that the set was made of.")
  return indices("class_names", np.array(names), wanted)


def check_alike(labels: Mapping[str, np.ndarray]) -> None:
  """Refuses integers of a part where those of train are names.

  Args:
    labels: [N] int64 or str by part.

  Raises:
    DataError: an integer would be the place of a name in alphabetical order.
  """
  if labels["train"].dtype.kind != "U" or all(
      isinstance(meaning(name), int) for name in set(labels["train"].tolist())):
    return
  for part, values in labels.items():
    if values.dtype.kind != "U" and len(values):
      raise DataError(
          f"`y_{part}` must be names where those of `y_train` are, such as "
          f"{shown(labels['train'][0].item())}; got {values[0]}. Give names, "
          "or `class_names` in the order of the integers.")


def _by_label(names: Mapping) -> dict[str, str]:
  """The dict {label: name} with its labels as texts."""
  names = dict(names)
  labels = as_labels("class_names", list(names)).astype(str).tolist()
  return dict(
      zip(_each_once("class_names", labels), names.values(), strict=True))


def _check_places(argument, values, class_names) -> None:
  """Refuses integers if one could be a class's number or its place."""
  for place, name in enumerate(class_names):
    number = _NUMBER.fullmatch(name)
    if number and int(number[1]) != place and int(number[1]) in values:
      raise DataError(
          f"`{argument}` must be names where a class is a number out of place; "
          f"got {number[1]}, which could be class {shown(name)} or the class "
          f"at this place of {listed(class_names, 3, 16)}. Give labels as "
          "strings.")


def _check_targets(names: np.ndarray) -> None:
  """Refuses texts that look like measurements: many different real numbers."""
  try:
    values = np.sort(names.astype(float))
  except ValueError:
    return
  numbered = (np.diff(values) == 1).all() and (values % 1 == 0).all()
  if len(names) > _MANY and not numbered:
    raise DataError(
        f"`y_train` must be classes; got {len(names):,} different numbers, "
        f"{values[0]:g} to {values[-1]:g}, which look like regression targets. "
        "Regression is not supported; sort them into a few ranges, or name the "
        "classes in `class_names`.")


def _each_once(argument, names):
  known: dict[int | str, str] = {}
  for name in names:
    if (key := meaning(name)) in known:
      raise DataError(
          f"`{argument}` must name each class once and in one way; got "
          f"{shown(known[key])} and {shown(name)}. Choose one.")
    known[key] = name
  return names


def _plain(argument, name: str | bytes) -> str:
  """A name in NFC form, without surrounding spaces."""
  try:
    text = name.decode() if isinstance(name, bytes) else name
  except UnicodeDecodeError as error:
    raise DataError(
        f"`{argument}` must be UTF-8 where it is bytes; got {shown(name)}. "
        "Decode it.") from error
  if not in_utf8(text):
    raise DataError(
        f"`{argument}` must be texts that UTF-8 can hold; got {shown(name)}. "
        "Decode it another way.")
  return unicodedata.normalize("NFC", text.strip())


def _check_whole(argument, labels):
  whole = (np.abs(labels) < 2.0**63) & (labels == np.round(labels))
  wrong = np.flatnonzero(~whole)
  if len(wrong):
    raise DataError(
        f"`{argument}` must be classes, not real numbers; got "
        f"{labels[wrong[0]]} in row {wrong[0]}. Regression is not supported.")
