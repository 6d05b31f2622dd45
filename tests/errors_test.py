"""How errors word numbers and lists of names."""

import pytest

from distill_jax.errors import counted, fitting, listed, plain, shown


@pytest.mark.parametrize(
    "number, noun, plural, said", [(1, "sample", "", "1 sample"),
                                   (0, "sample", "", "0 samples"),
                                   (1200, "class", "classes", "1,200 classes")])
def test_numbers_have_nouns(number, noun, plural, said):
  assert counted(number, noun, plural) == said


def test_lists_end_between_names():
  assert fitting(["abc", "de", "f"], 7) == "abc, de and 1 more"
  assert fitting(["abc", "de", "f"], 10) == "abc, de, f"
  assert fitting(iter(["abc"]), 1) == "abc" and fitting([]) == ""
  assert listed(["abc", "de", "f"], 2, 2) == "a…, de and 1 more"
  assert listed(["abc"]) == "abc" and listed([]) == ""


def test_texts_are_one_short_line():
  assert plain("a\n\tb\0") == "a b\N{REPLACEMENT CHARACTER}"
  assert plain("abcd", 3) == "ab…" and plain(KeyError()) == "KeyError"
  assert shown("a\n") == r"'a\n'" and shown("abc", 3) == "'a…"
