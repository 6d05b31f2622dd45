"""The result of an application: a JSON document that prints as its table."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax import environment

WIDTH = 80


class Findings(dict):
  """A JSON document with `application`, `settings`, `rows` and further fields.

      found = federated.compare(source, ["dm", "random_real"], num_clients=10)
      print(found)               # the table
      found.figure()             # a matplotlib Figure
  """

  def __init__(
      self, document: Mapping[str, Any], table: Callable[[Mapping[str, Any]],
                                                         str],
      draw: Callable[[Mapping[str, Any]], Any]):
    """Args:
      document: JSON values; versions and the device are added.
      table: function that returns the document as text.
      draw: function that returns a figure of the document.
    """
    super().__init__(
        document, device=environment.device(), versions=environment.versions())
    self._table, self._draw = table, draw

  def __repr__(self) -> str:
    return self._table(self)

  def figure(self):
    """The document as a matplotlib figure."""
    return self._draw(self)


def aligned(
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    notes: Sequence[str] = ()) -> str:
  """A plain-text table: first column left-aligned, others right-aligned.

  Args:
    heads: titles of the columns.
    lines: rows of cells, as texts.
    notes: paragraphs below the table, wrapped to its width.
  """
  widths = [
      max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads))
  ]
  rows = [
      f"{first:<{widths[0]}}" + "".join(
          f"  {cell:>{width}}"
          for cell, width in zip(others, widths[1:], strict=True))
      for first, *others in (heads, *lines)
  ]
  rule = "-" * max(map(len, rows))
  wide = max(WIDTH, len(rule))
  return "\n".join([
      rule, rows[0], rule, *rows[1:], rule,
      *(line for note in notes for line in textwrap.wrap(note, wide))
  ])


def mean_and_error(values: Any) -> dict[str, float | None]:
  """`mean` of values [n] and standard error `stderr`, None if n < 2."""
  values = np.ravel(np.asarray(values, float))
  error = None
  if len(values) > 1:
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
  return dict(mean=float(values.mean()), stderr=error)


def with_error(mean: float, stderr: float | None = None) -> str:
  """A fraction in percent, with its standard error if there is one."""
  error = "" if stderr is None else f" ± {100 * stderr:.1f}"
  return f"{100 * mean:.1f}{error}"
