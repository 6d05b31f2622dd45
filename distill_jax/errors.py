"""Errors that a user can correct: one line with argument, rule, value, remedy.

Functions with a bad argument raise `ValueError`. The classes below are special
cases of it, for things that come from outside the program. A launcher prints
any of them as a single line and exits with code 2.
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
  """A text from elsewhere as one short line without control characters.

  Args:
    value: any value; for an error, its message or else its type is used.
    most: maximal number of characters; "…" marks what was cut.
  """
  text = str(value)
  if isinstance(value, Exception) and not text:
    text = type(value).__name__
  text = " ".join(text[:10 * most].split())
  text = "".join(
      c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
  return text if len(text) <= most else f"{text[:most - 1].rstrip()}…"


def shown(value, most: int = 40) -> str:
  """A value as Python writes it, cut to a length."""
  return plain(repr(value), most)


def listed(values, most: int = 4, length: int = 30) -> str:
  """The first values, each cut to a length, and how many more there are."""
  more = f" and {len(values) - most:,} more" if len(values) > most else ""
  return ", ".join(plain(value, length) for value in values[:most]) + more


def fitting(values, room: int = 160) -> str:
  """As many values as fit, each whole, and how many more there are.

  It is for names that a reader chooses among; `listed` gives examples.

  Args:
    values: any number of names, each cut to 60 characters.
    room: most characters of the names; the first is always there.
  """
  names = [plain(value) for value in values]
  num, used = 0, 0
  for name in names:
    used += len(name) + 2
    if num and used - 2 > room:
      break
    num += 1
  return listed(names, most=num, length=60)


def counted(number: int, noun: str, plural: str = "") -> str:
  """"1 sample", "1,200 samples": a number with its noun.

  Args:
    number: how many.
    noun: of one.
    plural: of several; by default the noun with an s.
  """
  return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def require(holds, name: str, rule: str, value) -> None:
  """Refuses a distilled set that breaks a rule.

  Args:
    holds: whether the set keeps the rule.
    name: name of the field.
    rule: the text that follows "must".
    value: the value that was found.

  Raises:
    ArtifactError: the rule does not hold.
  """
  if not holds:
    raise ArtifactError(f"`{plain(name)}` must {rule}; got {plain(value, 80)}.")
