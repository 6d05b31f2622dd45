"""Lines for people."""

import sys

from tqdm import tqdm


def say(text: str) -> None:
  """One line, beside a progress bar too."""
  tqdm.write(text, file=sys.stderr)
