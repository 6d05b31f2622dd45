"""Labels and class names of every usual kind mean the right classes."""

import enum

import numpy as np
import pytest

from distill_jax import data
from distill_jax.errors import DataError

X, Y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
BITS = np.arange(12) % 2


class Animal(enum.StrEnum):
  CAT = "cat"
  COW = "cow"
  HORSE = "horse"


def _classes(labels, class_names=None, **more):
  """The name of every sample's class."""
  made = data.from_arrays(
      X, labels, class_names=class_names, test_fraction=0, **more)
  return [made.class_names[label] for label in np.asarray(made.train.labels)]


@pytest.mark.parametrize(("labels", "names"), [
    (BITS == 1, {
        False: "no",
        True: "yes"
    }),
    (BITS, {
        True: "yes",
        False: "no"
    }),
    (np.array(["False", "TRUE"])[BITS], {
        0: "no",
        1: "yes"
    }),
    (np.array([b"n", b"y"])[BITS], {
        b"y": "yes",
        "n": "no"
    }),
])
def test_names_by_label(labels, names):
  assert _classes(labels, names) == ["no", "yes"] * 6


def test_names_in_a_series_are_found_by_its_index():
  pandas = pytest.importorskip("pandas")
  names = pandas.Series({2: "owl", 0: "cat", 1: "dog"})
  assert _classes(Y, names) == ["cat", "dog", "owl"] * 4


def test_members_of_an_enumeration_are_their_values():
  assert _classes([*Animal] * 4) == ["cat", "cow", "horse"] * 4


def test_truth_values_of_two_parts_are_the_same_classes():
  for train, test in ((BITS == 1, ["True", "false"]),
                      (np.array(["false", "true"])[BITS], [True, False])):
    made = data.from_arrays(X, train, X[:2], test)
    np.testing.assert_array_equal(made.test.labels, [1, 0])


def test_numbers_too_long_to_convert_are_names():
  assert _classes(np.array(["9" * 5000, "1"])[BITS])[:2] == ["9" * 5000, "1"]


@pytest.mark.parametrize(("labels", "names", "said"), [
    (Y, "cat", "`class_names` must be a list"),
    (Y, {"cat", "dog", "owl"}, "`class_names` must be a list"),
    (Y, np.array("cat"), "`class_names` must be a list"),
    (Y, 3, "got 3"),
    (Y, [], "dict {label: name}"),
    (Y, {
        0: "a",
        "0": "b"
    }, "one way; got '0' and '0'"),
    (Y, ["1", "2", "many"], "got 1, which could be class '1'"),
    (Y, ["a\ud800", "b", "c"], "UTF-8"),
    (["1", "True", "0"] * 4, None, "'1' and 'True'"),
    (["True", "true", "0"] * 4, None, "'True' and 'true'"),
    (2 * BITS - 1, None, "0..1; got -1 in row 0. Number the classes"),
    (np.array([2**64 - 1, 0], np.uint64)[BITS], None, "18446744073709551615"),
])
def test_what_could_mean_two_things_is_refused(labels, names, said):
  with pytest.raises(DataError) as caught:
    _classes(labels, names)
  assert said in str(caught.value) and len(str(caught.value)) < 300


def test_integers_are_no_places_among_names():
  names = np.array(["cat", "dog", "owl"])[Y]
  with pytest.raises(DataError, match="`y_test` must be names.*'cat'; got 1"):
    data.from_arrays(X, names, X[:2], [1, 0])
  made = data.from_arrays(
      X, names, X[:2], [1, 0], class_names=["owl", "dog", "cat"])
  np.testing.assert_array_equal(made.test.labels, [1, 0])
