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


def plain(value, most: int = 60) -> str:
  """A text from elsewhere in one short line, without control characters.

  Args:
    value: any; an error gives its message, or its kind.
    most: characters that stay; "…" stands for the others.
  """
  text = str(value)
  if isinstance(value, Exception) and not text:
    text = type(value).__name__
  text = " ".join(text[:10 * most].split())
  text = "".join(
      c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
  return text if len(text) <= most else f"{text[:most - 1].rstrip()}…"


def shown(value, most: int = 40) -> str:
  """A value as Python writes it, cut."""
  return plain(repr(value), most)


def listed(values, most: int = 4, length: int = 30) -> str:
  """The first values, each cut to a length, and how many more there are."""
  more = f" and {len(values) - most:,} more" if len(values) > most else ""
  return ", ".join(plain(value, length) for value in values[:most]) + more


def require(holds, name: str, rule: str, value) -> None:
  """Refuses a distilled set that breaks a rule.

  Args:
    holds: whether it keeps the rule.
    name: of the field.
    rule: what follows "must".
    value: what was found.

  Raises:
    ArtifactError: it does not hold.
  """
  if not holds:
    raise ArtifactError(f"`{plain(name)}` must {rule}; got {plain(value, 80)}.")
