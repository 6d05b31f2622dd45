"""Splits texts into tokens.

There are three ways, by name: `words` for raw text; `spaces` for corpora that
are already split into tokens by spaces (TREC, SST); and `characters` for
scripts that do not separate words (Chinese, Japanese, Thai). All lower the
case.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

from distill_jax.errors import DataError, shown

# As in tokenised corpora: a word, with its @ or #; n't, 's, 're, 've, 'll, 'd
# and 'm are separate tokens; so is any other character. HTML tags count as
# spaces.
WORD = re.compile(
    r"[@#]?\w+?(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|[@#]?\w+|[^\w\s]")
# A phrase of a script without spaces between words: Han and kana, or Thai, Lao,
# Myanmar and Khmer, whose words are longer.
_PHRASE = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff]{5,}|"
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{15,}")
_LOOKED_AT = 1000  # texts that are searched for phrases
_TAG = re.compile(r"</?[a-z][^<>]{0,40}>", re.IGNORECASE)

Tokeniser = Callable[[str], list[str]]


def words(text: str) -> list[str]:
  """Tokens of raw text: the matches of `WORD`, in lower case.

  >>> words("Don't miss it,<br />@Anna!")
  ['do', "n't", 'miss', 'it', ',', '@anna', '!']
  """
  plain = _TAG.sub(" ", text).replace("’", "'")
  return WORD.findall(plain.lower())


def spaces(text: str) -> list[str]:
  """Splits a text at spaces, in lower case.

  >>> spaces("What 's a -lrb- bracket ?")
  ['what', "'s", 'a', '-lrb-', 'bracket', '?']
  """
  return text.lower().split()


def characters(text: str) -> list[str]:
  """Splits a text into characters without spaces, in lower case.

  >>> characters("很好 OK")
  ['很', '好', 'o', 'k']
  """
  return list("".join(spaces(text)))


TOKENISERS = {"characters": characters, "spaces": spaces, "words": words}


def tokeniser(tokens: str | Tokeniser) -> Tokeniser:
  """A tokeniser by name, or the function itself.

  Raises:
    DataError: an unknown name.
  """
  if callable(tokens):
    return tokens
  if tokens not in TOKENISERS:
    raise DataError(
        f"`tokens` must be one of {', '.join(TOKENISERS)}, or a function; got "
        f"{tokens!r}.")
  return TOKENISERS[tokens]


def tokenised(argument: str, texts: Iterable[str],
              tokens: str | Tokeniser) -> list[list[str]]:
  """The tokens of every text.

  Args:
    argument: name of the texts' argument, for messages.
    texts: N texts.
    tokens: see `tokeniser`.

  Raises:
    DataError: there are no texts, something is not a text, or a text has no
      tokens.
  """
  if isinstance(texts, str):
    raise DataError(f"`{argument}` must be several texts; got one string.")
  split = tokeniser(tokens)
  found: list[list[str]] = []
  for row, text in enumerate(texts):
    if not isinstance(text, str):
      raise DataError(
          f"`{argument}` must be texts; got {type(text).__name__} in row {row}."
      )
    found.append(split(text))
    if not found[-1]:
      raise DataError(
          f"`{argument}` must hold words in every text; got {shown(text)} in "
          f"row {row}. Drop it.")
    if not all(isinstance(token, str) for token in found[-1]):
      raise DataError(
          f"`tokens` must return a list of texts; got {shown(found[-1])} for "
          f"row {row} of `{argument}`.")
    if not in_utf8("".join(found[-1])):
      raise DataError(
          f"`{argument}` must be texts that UTF-8 can hold; got {shown(text)} "
          f"in row {row}. Decode it another way.")
    if "\n" in "".join(found[-1]):
      raise DataError(
          f"`tokens` must not make words of line ends; got one in row {row} of "
          f"`{argument}`. Let the tokeniser drop white space.")
  if not found:
    raise DataError(f"`{argument}` must hold texts; got none.")
  if tokens == "words":
    _check_separated(argument, texts)
  return found


def in_utf8(text: str) -> bool:
  """Whether UTF-8 can hold a text, which has no halves of surrogate pairs."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def _check_separated(argument: str, texts: Iterable[str]) -> None:
  """Refuses texts most of whose tokens are phrases rather than words."""
  joined = "\n".join(itertools.islice(texts, _LOOKED_AT))
  phrases = _PHRASE.findall(joined)
  if 2 * sum(map(len, phrases)) > len("".join(joined.split())):
    raise DataError(
        f"`tokens` must cut texts without spaces into words; got "
        f"{shown(phrases[0], 20)} as one in `{argument}`. Take "
        "tokens=\"characters\", or a function that finds words.")


def repeated(texts: Sequence[Sequence[str]], others) -> list[int]:
  """Rows of tokenised texts that also occur among others."""
  known = {tuple(tokens) for tokens in others}
  return [i for i, tokens in enumerate(texts) if tuple(tokens) in known]
