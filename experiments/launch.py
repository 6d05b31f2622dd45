"""Runs a launcher's main: one line and an exit code instead of a traceback."""

import sys
from collections.abc import Callable

from absl import flags
from driver import Interrupted, NonFinite

MISTAKE, NOT_FINITE = 2, 3


def run(main: Callable, argv: list[str] | None = None) -> int:
  """Parses the flags, runs `main(rest)` and returns the exit code.

  A `ValueError` is what the library raises for a user's mistake; it becomes
  one line. `--debug` shows where it came from.
  """
  argv = sys.argv if argv is None else argv
  try:
    main(_parse(argv))
  except Interrupted as stopped:
    print(stopped, file=sys.stderr)
  except NonFinite as error:
    return _fail(error, NOT_FINITE)
  except (ValueError, flags.Error) as error:
    if flags.FLAGS.is_parsed() and flags.FLAGS.debug:
      raise
    return _fail(error, MISTAKE)
  return 0


flags.DEFINE_bool("debug", False, "Show the traceback of a mistake.")


def _parse(argv):
  try:
    return flags.FLAGS(argv)
  except (AttributeError, KeyError, TypeError, FileNotFoundError) as error:
    # What ml_collections raises for an unknown field, a value of another type
    # or a missing file.
    raise ValueError(f"`--config`: {_one_line(error)}") from error


def _fail(error: BaseException, code: int) -> int:
  print(f"error: {_one_line(error)}", file=sys.stderr)
  return code


def _one_line(error: BaseException) -> str:
  text = error.args[0] if isinstance(error, KeyError) else str(error)
  return " ".join(str(text).split())


