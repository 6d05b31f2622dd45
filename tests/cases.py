"""Parameters of tests that have too many cases to run all of them often."""

from collections.abc import Container, Iterable

import pytest


def some(cases: Iterable, often: Container) -> list:
  """All cases; those that are not in `often` are run by `make test-all` only.

  Args:
    cases: values of one parameter, or tuples of several.
    often: the cases that `make test` runs too.
  """
  return [
      pytest.param(
          *(case if isinstance(case, tuple) else (case,)),
          marks=() if case in often else pytest.mark.slow) for case in cases
  ]
