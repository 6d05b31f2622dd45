"""Measured or learned once: what real data gave is kept and found again."""

import json

import jax
import numpy as np
import pytest

from distill_jax import artifact, data, storage
from distill_jax.errors import WorkdirError
from distill_jax.evaluation.recipes import untrained
from distill_jax.runs import real_data, word_vectors
from distill_jax.runs.students import students

SPEC = dict(name="mlp", widths=[])
NAMES = ("random_real", "class_mean", "byte_matched_real")


@pytest.fixture(scope="module")
def setting():
  """A set of ten digits, and its source."""
  source = data.read("digits")
  distilled = artifact.from_samples(
      source.train.encode(source.train.inputs[:10]),
      source.train.labels[:10],
      class_names=source.class_names,
      preprocessing=source.preprocessing,
      recipe=untrained().spec)
  return distilled, source


def _measure(setting, cache, names=NAMES, seed=0, **changes):
  distilled, source = setting
  student, = students(SPEC, distilled, source)
  settings = dict(
      num_samples=10, num_sets=2, networks_per_set=2, storage_bytes=8_000)
  return real_data.baselines(
      jax.random.key(seed),
      distilled,
      source,
      student,
      cache=cache,
      names=names,
      **settings | changes)


def _interrupted_by(title):

  def say(line):
    if title in line:
      raise KeyboardInterrupt

  return say


def _assert_same(one, two):
  assert one.keys() == two.keys()
  for name, result in one.items():
    np.testing.assert_array_equal(result.accuracy, two[name].accuracy)
    assert result._replace(accuracy=0) == two[name]._replace(accuracy=0)


def test_baselines_are_measured_once(setting, tmp_path, monkeypatch):
  cache = tmp_path / real_data.FILE
  first = _measure(setting, cache, NAMES[:2])
  asked = []
  original = real_data.run_baselines
  monkeypatch.setattr(
      real_data, "run_baselines", lambda *args, names, **settings: asked.append(
          names) or original(*args, names=names, **settings))
  both = _measure(setting, cache)
  assert asked == [("byte_matched_real",)]
  _assert_same(first, {name: both[name] for name in first})
  _assert_same(both, _measure(setting, cache))
  _assert_same(both, _measure(setting, tmp_path / "new.json"))


@pytest.mark.parametrize(
    "change, again", [(dict(seed=1), NAMES), (dict(num_sets=3), NAMES),
                      (dict(storage_bytes=9_000), ("byte_matched_real",))])
def test_anything_else_is_measured_anew(
    setting, tmp_path, monkeypatch, change, again):
  cache = tmp_path / real_data.FILE
  results = _measure(setting, cache)
  asked = []

  def measured(*args, names, on_result, **settings):
    asked.extend(names)
    for name in names:
      on_result(name, results[name])

  monkeypatch.setattr(real_data, "run_baselines", measured)
  _measure(setting, cache, **change)
  assert tuple(asked) == again


def test_what_was_measured_before_an_interruption_is_kept(
    setting, tmp_path, monkeypatch):
  cache = tmp_path / real_data.FILE
  monkeypatch.setattr(real_data, "say", _interrupted_by("class mean"))
  with pytest.raises(KeyboardInterrupt):
    _measure(setting, cache)
  kept = map(json.loads, json.loads(cache.read_text()))
  assert sorted(k["baseline"] for k in kept) == ["class_mean", "random_real"]


def test_another_recipe_is_another_value(setting, tmp_path, monkeypatch):
  distilled, source = setting
  cache = tmp_path / real_data.FILE
  _measure(setting, cache, NAMES[:1])
  recipe = dict(name="dc", num_epochs=1)
  _measure((distilled._replace(recipe=recipe), source), cache, NAMES[:1])
  assert len(json.loads(cache.read_text())) == 2


def test_a_set_that_decodes_into_more_shares_with_one_that_stores_as_many(
    setting, tmp_path, monkeypatch):
  cache = tmp_path / real_data.FILE
  distilled, source = setting
  first = _measure(setting, cache, NAMES[:1])
  monkeypatch.setattr(
      real_data, "run_baselines",
      lambda *args, **settings: pytest.fail("again"))
  more = distilled._replace(order=np.arange(40)[None])
  _assert_same(first, _measure((more, source), cache, NAMES[:1]))


def test_without_a_file_everything_is_measured(setting, tmp_path):
  _assert_same(
      _measure(setting, None, NAMES[:1]),
      _measure(setting, tmp_path / "new.json", NAMES[:1]))


def _better(kept):
  for entry in kept.values():
    entry["found"]["accuracy"] = [[1.0, 1.0]]


def _exchanged(kept):
  one, two = kept
  kept[one], kept[two] = kept[two], kept[one]


def _of_another_shape(kept):
  for name in kept:
    kept[name] = [3]


@pytest.mark.parametrize("edit", [_better, _exchanged, _of_another_shape])
def test_an_edited_result_is_measured_anew(
    setting, tmp_path, monkeypatch, edit):
  cache, said = tmp_path / real_data.FILE, []
  first = _measure(setting, cache, NAMES[:2])
  kept = json.loads(cache.read_text())
  edit(kept)
  cache.write_text(json.dumps(kept))
  monkeypatch.setattr("distill_jax.runs.kept.say", said.append)
  _assert_same(first, _measure(setting, cache, NAMES[:2]))
  assert said[0].startswith(f"{cache}: 2 of 2 results are not as they were")
  said.clear()
  _measure(setting, cache, NAMES[:2])
  assert not said


@pytest.mark.parametrize("text", ["{", "[]", "3", "\0", "[" * 100_000, "\xff"])
def test_a_damaged_file_is_named(setting, tmp_path, text):
  cache = tmp_path / real_data.FILE
  cache.write_bytes(text.encode("latin-1"))
  with pytest.raises(WorkdirError, match="real_data.json must hold JSON"):
    _measure(setting, cache)
  assert cache.read_bytes() == text.encode("latin-1")


def test_a_cache_that_cannot_be_written_costs_no_result(
    setting, tmp_path, monkeypatch):
  cache, said = tmp_path / real_data.FILE, []
  (tmp_path / f".{real_data.FILE}.lock").symlink_to("elsewhere")
  monkeypatch.setattr("distill_jax.runs.kept.say", said.append)
  _assert_same(
      _measure(setting, cache, NAMES[:1]), _measure(setting, None, NAMES[:1]))
  assert "not kept" in said[0] and str(cache) in said[0]


def _signed(file, **changes):
  tensors, document = storage.read(file)
  kept = {k: v for k, v in document.items() if k not in ("sha256", *changes)}
  storage.write(file, tensors, kept | {k: v for k, v in changes.items() if v})


@pytest.mark.parametrize(
    "change", [
        lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file
        .write_bytes(file.read_bytes().replace(b"bad", b"BAD")),
        lambda file: _signed(file, depends="0" * 64),
        lambda file: _signed(file, words=None),
        lambda file: _signed(file, words=["good", "film", {}]),
        lambda file: _signed(file, words=["good"] * 5)
    ])
def test_edited_word_vectors_are_learned_anew(tmp_path, capsys, change):
  texts = [["good", "film", "bad"], ["bad", "plot", "plot", "good", "end"]]

  def learned():
    found = word_vectors.learned(
        texts, cache=tmp_path, dim=2, window=2, min_count=1, power=0.5)
    return found.words, found.table.round(6).tolist(), found.name

  first = learned()
  capsys.readouterr()
  assert learned() == first and not capsys.readouterr().err
  (file,) = tmp_path.glob("vectors_*")
  change(file)
  assert learned() == first
  said = capsys.readouterr().err
  assert f"{file}: " in said and "learning the vectors anew" in said
  assert learned() == first and not capsys.readouterr().err
