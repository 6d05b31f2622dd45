"""Lines for people."""

import sys


def say(text: str) -> None:
  """One line, above a progress bar where one may be showing."""
  if "tqdm" in sys.modules:
    sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
  else:
    print(text, file=sys.stderr)
