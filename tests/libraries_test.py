"""Sets in the types of other libraries hold the same numbers."""

import os
import sys

import jax
import numpy as np
import pytest

import distill_jax as dd
from distill_jax.artifact import from_samples
from distill_jax.errors import ArtifactError
from distill_jax.labels import centred_rows

os.environ.setdefault("KERAS_BACKEND", "jax")

_RNG = np.random.default_rng(0)
_SOFT = np.float32([[0.2, 0.9, -0.1], [1.5, -0.5, 0], [0, 0, 0.7]])
_SHARES = np.float32([[0.2, 0.7, 0.1], [0.5, 0.5, 0], [0, 0.25, 0.75]])


def _set(shape=(2,), labels=(0, 1, 2), names="abc", **settings):
  inputs = _RNG.normal(size=(len(labels), *shape)).astype(np.float32)
  return from_samples(inputs, labels, class_names=[*names], **settings)


def _texts():
  source = dd.from_texts(["the cat sat", "a dog ran far"] * 6, ["x", "y"] * 6)
  words = source.train.inputs[:2]
  return from_samples(
      source.preprocessing.apply(words),
      np.asarray(source.train.labels[:2]),
      class_names=source.class_names,
      preprocessing=source.preprocessing)


# Label rows, the classes they name, their targets, and where they live.
LABELS = {
    "hard": (dict(labels=[2, 0, 1]), [2, 0, 1]),
    "raw": (dict(labels=_SOFT), _SOFT),
    "probabilities":
        (dict(labels=_SHARES, label_space="probabilities"), _SHARES),
    "logits": (dict(labels=_SOFT, label_space="logits"), jax.nn.softmax(_SOFT)),
    "centred":
        (dict(labels=_SOFT, label_space="centred"), _SOFT + np.float32(1 / 3)),
    "centred_hard": (
        dict(
            labels=np.asarray(centred_rows(np.array([1, 0, 2]), 3)),
            label_space="centred"), [1, 0, 2]),
    "one_logit_hard": (dict(labels=[1, 0], names="ab"), [1, 0]),
    "one_logit":
        (dict(labels=[[0.2], [1.5]], names="ab"), [[0.8, 0.2], [-0.5, 1.5]]),
    "one_logit_centred": (
        dict(labels=[[0.25], [-0.5]], names="ab",
             label_space="centred"), [[0.25, 0.75], [1, 0]])
}


@pytest.mark.parametrize("kind", LABELS)
def test_keras_has_the_samples_and_a_loss_of_the_labels(kind):
  keras = pytest.importorskip("keras")
  settings, wanted = LABELS[kind]
  made = _set((4, 3, 1), **settings)
  x, y, loss, _ = made.to_keras()
  np.testing.assert_array_equal(x, made.inputs)
  np.testing.assert_allclose(y, wanted, rtol=1e-6)
  outputs = _RNG.normal(size=(len(x), made.num_classes)).astype(np.float32)
  log_p = jax.nn.log_softmax(outputs)
  rows = np.eye(made.num_classes)[y] if y.ndim == 1 else y
  expected = -(rows * log_p).sum(1)
  if y.ndim == 2 and made.label_space == "centred":
    expected = np.square(rows - outputs).mean(1)
  found = keras.ops.mean(loss(y, outputs))
  np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)


def test_keras_takes_channels_first_where_it_is_told_so(monkeypatch):
  keras = pytest.importorskip("keras")
  monkeypatch.setattr(
      keras.config, "image_data_format", lambda: "channels_first")
  made = _set((4, 3, 2))
  x, _, _, prepare = made.to_keras()
  np.testing.assert_array_equal(x, made.inputs.transpose(0, 3, 1, 2))
  assert prepare(np.zeros((5, 4, 3, 2), np.uint8)).shape == (5, 2, 4, 3)
  assert _set((4, 3)).to_keras().x.shape == (3, 4, 3)  # a series


@pytest.mark.parametrize("backend", ["numbers", "words"])
def test_prepare_takes_real_data_to_the_space_of_the_samples(backend):
  pytest.importorskip("keras")
  if backend == "words":
    made = _texts()
    raw = np.asarray(made.preprocessing.invert(made.inputs))
  else:
    raw = _RNG.integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    made = from_samples(raw, [0, 1, 2], raw=True, class_names=[*"abc"])
  np.testing.assert_allclose(made.to_keras().prepare(raw), made.inputs, 1e-6)


def test_a_keras_model_learns_the_digits_from_ten_samples():
  keras = pytest.importorskip("keras")
  keras.utils.set_random_seed(0)
  source = dd.read("digits")
  x, y, loss, prepare = dd.examples.load("digits_1").to_keras()
  model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
  model.compile(keras.optimizers.Adam(0.01), loss=loss)
  model.fit(x, y, epochs=40, verbose=0)
  test = source.test
  classes = model.predict(
      prepare(test.inputs), batch_size=len(test.inputs), verbose=0).argmax(-1)
  assert (classes == np.asarray(test.labels)).mean() > 0.3  # by chance 0.1


@pytest.mark.parametrize("kind", LABELS)
def test_datasets_hold_the_labels(kind):
  pytest.importorskip("datasets")
  settings, wanted = LABELS[kind]
  made = _set(**settings)
  rows = made.to_datasets().with_format("numpy")
  np.testing.assert_array_equal(rows["inputs"][:], made.inputs)
  assert rows.features["label"].names == [*made.class_names]
  if made.hard_rows:
    assert rows.column_names == ["features", "inputs", "label"]
    np.testing.assert_array_equal(rows["label"][:], wanted)
  else:
    np.testing.assert_allclose(rows["soft_label"][:], wanted, rtol=1e-6)
    np.testing.assert_array_equal(rows["label"][:], np.argmax(wanted, 1))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_datasets_hold_images_that_can_be_seen(channels):
  pytest.importorskip("datasets")
  pytest.importorskip("PIL")
  raw = _RNG.integers(0, 256, (3, 5, 4, channels)).astype(np.uint8)
  made = from_samples(raw, [0, 1, 2], raw=True, class_names=[*"abc"])
  rows = made.to_datasets().with_format("numpy")
  np.testing.assert_array_equal(rows["inputs"][:], made.inputs)
  if channels == 2:
    assert "image" not in rows.column_names
  else:
    images = np.asarray(rows["image"][:]).reshape(raw.shape)
    np.testing.assert_array_equal(images, raw)


def test_datasets_hold_series_and_texts():
  pytest.importorskip("datasets")
  record = dd.from_arrays(
      _RNG.normal(3, 2, (9, 6, 2)), np.arange(9) % 3,
      kind="series").preprocessing
  made = _set((6, 2), preprocessing=record)
  rows = made.to_datasets().with_format("numpy")
  np.testing.assert_allclose(rows["series"][:], made.to_numpy()[0], rtol=1e-6)
  np.testing.assert_array_equal(rows["inputs"][:], made.inputs)
  texts = _texts()
  rows = texts.to_datasets()
  assert rows["text"][:] == ["the cat sat", "a dog ran far"]
  np.testing.assert_array_equal(
      rows.with_format("numpy")["inputs"][:], texts.inputs)


def test_a_folder_is_read_by_hugging_face_and_by_the_library(tmp_path):
  datasets = pytest.importorskip("datasets")
  made, report = dd.examples.load("digits_1"), dd.examples.report("digits_1")
  folder = tmp_path / "set"
  dd.export(made, folder, report=report, licence="cc-by-4.0")
  rows = datasets.load_dataset(
      str(folder), split="train", cache_dir=str(tmp_path / "cache"))
  assert rows.features == made.to_datasets().features
  rows = rows.with_format("numpy")
  np.testing.assert_array_equal(rows["inputs"][:], made.inputs)
  np.testing.assert_array_equal(rows["soft_label"][:], made.labels)
  again = dd.load(folder / "distilled.safetensors")
  np.testing.assert_array_equal(again.inputs, made.inputs)
  text = (folder / "README.md").read_text()
  assert text == made.card(report, licence="cc-by-4.0")
  with pytest.raises(ValueError, match="must be a new or an empty folder"):
    dd.export(made, folder)
  for name in ("report", "licence"):
    with pytest.raises(ValueError, match=f"`{name}` must be None but for"):
      dd.export(made, tmp_path / "set.npz", **{name: report})
  with pytest.raises(ArtifactError, match="`label_space` must be one of"):
    dd.export(made._replace(label_space="x"), tmp_path / "wrong")
  assert not (tmp_path / "wrong").exists()


def _header(card):
  yaml = pytest.importorskip("yaml")
  return yaml.safe_load(card.split("---\n")[1])


def test_the_card_says_what_is_known_and_nothing_else():
  made, report = dd.examples.load("digits_1"), dd.examples.report("digits_1")
  text = made.card()
  assert "license" not in _header(text) and "## Results" not in text
  assert _header(text)["task_categories"] == ["image-classification"]
  assert "20 learned step sizes" in text and 'rows["soft_label"]' in text
  text = made.card(report, licence="cc-by-4.0")
  assert _header(text)["license"] == "cc-by-4.0"
  mean, std = 100 * report.mean, 100 * report.std
  assert f"| this set | {mean:.2f} ± {std:.2f} | 20 |" in text
  assert report["command"] in text
  plain = _set((6, 2), names=["a: b", "#", "'"]).card()
  header = _header(plain)
  assert "task_categories" not in header and "learned step" not in plain
  assert header["pretty_name"] == "a data set in 3 samples, by external"
  assert 'rows["label"]' in plain and "## Results" not in plain
  for change, wanted in ((dict(label_regime="soft_views"), "augmented views"),
                         (dict(student_init="fixed"), "training must start")):
    assert wanted in made._replace(**change).card() and wanted not in text


@pytest.mark.parametrize(
    "package, function", [("torch", "to_torch"), ("keras", "to_keras"),
                          ("datasets", "to_datasets")])
def test_a_library_that_is_absent_is_named(monkeypatch, package, function):
  monkeypatch.setitem(sys.modules, package, None)
  wanted = rf"`{function}` needs .*: pip install {package}\. `to_numpy` needs"
  with pytest.raises(ImportError, match=wanted) as failure:
    getattr(_set(), function)()
  assert "\n" not in str(failure.value)
