"""What a data set reads as, in words that fit a screen."""

import textwrap
from typing import Any

import numpy as np

from distill_jax.data.host import is_host
from distill_jax.data.source import Source
from distill_jax.errors import counted, fitting, listed, plain
from distill_jax.text.embedding import is_of_words

_CLASSES = 12  # that have a line each
_ROWS = 1024  # of data that stay in a file, whose values are looked at
_FEWEST = 10  # samples that make a class small
_UNEVEN = 10  # times as many samples as the smallest class
_PLACE = 16  # columns before what is said
# Facts that are fractions of 1: title, and what they are fractions of.
_SHARES = {"words_with_vectors": ("with vectors", "the words")}


def described(source: Source) -> str:
  """Kind, shape, range, parts, classes and what to be careful about.

  Args:
    source: the data.

  Returns:
    Lines of at most 80 characters, about twenty.
  """
  splits = {
      part: split
      for part in ("train", "validation", "test")
      if (split := getattr(source, part)) is not None
  }
  lines = [
      source.name,
      _line("samples", _kind(source)),
      *_columns(source.facts.get("columns")),
      _line(
          "parts", ", ".join(
              f"{split.num_samples:,} {part}"
              for part, split in splits.items())),
      _line("values", _values(source)),
      _line("read through", _preprocessing(source)),
      _line("fingerprint", source.fingerprint()),
      _line("classes", f"{source.num_classes:,}"),
      *_classes(source.class_names, splits),
  ]
  for name, value in source.facts.items():
    if name in _SHARES:
      title, whole = _SHARES[name]
      lines.append(_line(title, f"{100 * value:.1f} % of {whole}"))
    elif isinstance(value, str | int | float) and value != "":
      lines.append(_line(name.replace("_", " "), plain(value, 200)))
  return "\n".join([*lines, *(_line("careful", w) for w in _warnings(source))])


def _line(name: str, text: str) -> str:
  return "\n".join(
      textwrap.wrap(
          text,
          80,
          initial_indent=f"  {name:<{_PLACE - 3}} ",
          subsequent_indent=" " * _PLACE))


def _kind(source: Source) -> str:
  shape = source.train.inputs.shape[1:]
  if is_of_words(source.preprocessing):
    return f"texts of at most {counted(shape[0], 'word')}"
  if len(shape) == 3:
    channels = counted(shape[2], "channel")
    return f"images of {shape[0]} x {shape[1]} pixels, {channels}"
  if len(shape) == 2:
    steps, channels = counted(shape[0], "step"), counted(shape[1], "channel")
    return f"series of {steps}, {channels}"
  return f"rows of {counted(shape[0], 'number')}"


def _columns(names) -> list[str]:
  """Those of a table, as many as fit into a few lines."""
  return [_line("columns", fitting(names, 2 * (80 - _PLACE)))] if names else []


def _values(source: Source) -> str:
  """Their type and range, before preprocessing."""
  split, kind = source.train, source.raw_dtype
  if is_of_words(source.preprocessing):
    return "words by number"
  rows, said = split.inputs, ""
  if is_host(rows) and split.num_samples > _ROWS:
    rows, said = rows[np.arange(_ROWS)], f" of the first {_ROWS:,}"
  rows = np.asarray(rows)
  return f"{kind}, {rows.min():g} to {rows.max():g}{said}"


def _preprocessing(source: Source) -> str:
  record: Any = source.preprocessing
  name = type(record).__name__
  if not hasattr(record, "std"):
    return name
  mean, std = np.ravel(record.mean), np.ravel(record.std)
  return f"{name}, mean {_numbers(mean)}, std {_numbers(std)}"


def _numbers(values) -> str:
  return listed([f"{v:.3g}" for v in values], 3)


def _classes(names, splits) -> list[str]:
  """Samples of each class, or of the smallest and largest of many."""
  counts = {part: np.asarray(split.counts) for part, split in splits.items()}
  order = np.arange(len(names))
  if len(names) > _CLASSES:
    order = np.argsort(-counts["train"], kind="stable")
    order = np.r_[order[:_CLASSES // 2], -1, order[-_CLASSES // 2:]]
  margin = " " * _PLACE
  lines = [margin + " " * 24 + "".join(f"{part:>12}" for part in splits)]
  for c in order:
    numbers = "".join(f"{count[c]:>12,}" for count in counts.values())
    row = "..." if c < 0 else f"{plain(names[c], 24):<24}{numbers}"
    lines.append(margin + row)
  return lines


def _warnings(source: Source) -> list[str]:
  """What makes a set of these data, or its measure, less good."""
  found, counts = [], np.asarray(source.train.counts)
  present = counts[counts > 0]
  for part in ("train", "test"):
    split = getattr(source, part)
    if split is None:
      found.append("there is no test part, so that no set can be evaluated")
      continue
    lacking = np.flatnonzero(np.asarray(split.counts) == 0)
    if len(lacking):
      names = listed([source.class_names[c] for c in lacking])
      found.append(f"no {part} samples of {names}")
  if present.min() < _FEWEST:
    few = counted(int(present.min()), "training sample")
    found.append(f"a class has only {few}")
  if present.max() >= _UNEVEN * present.min():
    found.append(
        f"classes are uneven: the largest has {present.max():,} training "
        f"samples, the smallest {present.min():,}")
  return found
