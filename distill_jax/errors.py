"""Errors a user can mend: one line with argument, rule, value and remedy.

Functions given a bad argument raise `ValueError`; the classes below are its
special cases for things that come from outside a program. A launcher prints
either as a single line and exits with code 2.
"""


class DataError(ValueError):
  """A data set that cannot be read or distilled."""


class ArtifactError(ValueError):
  """A distilled set on disk that cannot be used."""


class WorkdirError(ValueError):
  """A working directory that cannot hold this run."""


class ConfigError(ValueError):
  """A configuration that names something unknown or impossible."""
