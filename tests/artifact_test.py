"""The artifact: what is written is read back, what is wrong is named."""

import errno
import io
import json
import os
import pickle
import sys
from typing import NamedTuple
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from absl.testing import parameterized

from distill_jax import exchange, preprocessing, storage
from distill_jax.artifact import from_samples, load, save, to_artifact
from distill_jax.data import from_arrays
from distill_jax.errors import ArtifactError
from distill_jax.estimators.backprop import backprop
from distill_jax.inner_loop import train_in_order
from distill_jax.merging import merge
from distill_jax.nn import mlp
from distill_jax.parameterization.pixels import pixels
from distill_jax.text.embedding import WordVectors
from distill_jax.types import (
    Distilled,
    Estimator,
    Objective,
    Samples,
    TrainingSet,
)

_RAW = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)
_NETWORK = mlp(3, widths=(5,))


def _source(fit="standardise"):
  return from_arrays(
      _RAW,
      np.arange(30) % 3,
      preprocessing=fit,
      name="toy",
      class_names=("a", "b", "é"),
      test_fraction=0)


def _distilled():
  rng = np.random.default_rng(1)
  return Distilled(
      codes=jnp.asarray(rng.normal(size=(6, 4, 4, 1)), jnp.float32),
      labels=jnp.asarray(rng.normal(size=(6, 3)), jnp.float32),
      raw_step_sizes=jnp.linspace(-3.0, -1.0, 4))


@pytest.mark.parametrize(
    "labels, regime", [([[0, 1, 0], [1, 0, 0]], "hard"),
                       ([[0, 2, 0], [1, 0, 0]], "soft_fixed"),
                       ([[0, 1, 0], [1, 1, 0]], "soft_fixed"),
                       ([[0, 0, 0.9]] * 2, "soft_fixed"), ([[0], [1]], "hard"),
                       ([[0.2], [1]], "soft_fixed")])
def test_labels_that_name_one_class_are_hard(labels, regime):
  made = from_samples(
      np.ones((2, 3), np.float32),
      np.array(labels, np.float32),
      class_names=[*"abc"][:3 if len(labels[0]) == 3 else 2])
  assert made.label_regime == regime


def _artifact(fit="standardise", **settings):
  estimator = backprop(Objective(None, None, None), pixels())
  initial = _NETWORK.init(jax.random.key(1), jnp.zeros((1, 4, 4, 1)))
  settings = dict(
      method="sldd",
      order=np.arange(6).reshape(2, 3),
      recipe={
          "name": "in_order",
          "momentum": 0.0
      },
      network={
          "name": "mlp",
          "widths": (5,)
      },
      initial=initial) | settings
  return to_artifact(estimator, _distilled(), _source(fit), **settings)


def _assert_same(a, b):
  chex.assert_trees_all_equal(
      *(
          jax.tree.map(lambda x: x if isinstance(x, str) else np.asarray(x), t)
          for t in (a, b)))
  assert type(a.preprocessing) is type(b.preprocessing)


class RoundTripTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.path = tmp_path / "distilled.safetensors"

  @parameterized.parameters("standardise", "zca")
  def test_from_a_file_and_in_memory_are_one(self, fit):
    made = _artifact(fit)
    save(made, self.path)
    loaded = load(self.path)
    _assert_same(made, loaded)
    raw = jnp.asarray(_RAW)
    chex.assert_trees_all_equal(
        loaded.preprocessing.apply(raw),
        _source(fit).train.encode(raw))
    assert loaded.num_samples == 6 and loaded.num_classes == 3
    assert loaded.student_init == "fixed" and loaded.modality == "image"
    assert loaded.class_names == ("a", "b", "é")
    assert loaded.network == {"name": "mlp", "widths": [5]}

  def test_training_set_is_what_was_distilled(self):
    save(_artifact(), self.path)
    loaded = load(self.path).training_set
    distilled, initial = _distilled(), _artifact().initial
    step_sizes = jax.nn.softplus(distilled.raw_step_sizes)
    samples = Samples(distilled.codes, distilled.labels, step_sizes)
    order = jnp.arange(6).reshape(2, 3)
    key, logits = jax.random.key(0), []
    for given in (loaded, TrainingSet(samples, order, initial)):
      trained = train_in_order(
          key, _NETWORK, given.initial, given.samples, given.order)
      logits.append(_NETWORK.apply(trained, samples.inputs)[0])
    chex.assert_trees_all_equal(*logits)
    assert loaded.order.dtype == jnp.int32 and loaded.samples.extra == ()

  def test_provenance_and_what_the_maker_adds(self):
    made = _artifact(provenance={"seed": 3, "versions": {"x": "1"}})
    assert made.provenance == {
        "data": "toy",
        "fingerprint": _source().fingerprint(),
        "seed": 3,
        "versions": {
            "x": "1"
        }
    }

  def test_storage_counts_labels_and_theta_apart(self):
    sizes = _artifact().storage_bytes
    theta = 4 * (16 * 5 + 5 + 5 * 3 + 3)
    assert sizes == {
        "samples": 6 * 16 * 4,
        "labels": 6 * 3 * 4,
        "step_sizes": 16,
        "decoder": 0,
        "total": 384 + 72 + 16,
        "initial": theta
    }

  def test_codes_of_another_parameterization(self):

    class Bases(NamedTuple):
      decoder: jax.Array
      weights: tuple

    codes = Bases(jnp.ones((2, 8), jnp.bfloat16), (jnp.ones((4, 2)), None))

    def samples(distilled):
      inputs = distilled.codes.weights[0] @ distilled.codes.decoder
      return Samples(
          inputs, distilled.labels, jnp.zeros((0,)), {"slope": jnp.float32(2)})

    made = to_artifact(
        Estimator(None, None, None, samples),
        Distilled(codes,
                  jnp.eye(4)[:, :3], jnp.zeros((0,))),
        from_arrays(np.eye(8)[:6], np.arange(6) % 3, test_fraction=0),
        method="toy",
        order=[[0, 1, 2, 3]],
        recipe={"name": "converged"},
        network={})
    assert made.parameterization == "custom"
    assert made.storage_bytes["decoder"] == 64
    assert made.storage_bytes["samples"] == 32
    save(made, self.path)
    loaded = load(self.path)
    _assert_same(made, loaded)
    assert loaded.codes["weights"][1] is None
    assert loaded.training_set.samples.extra["slope"] == 2
    assert loaded.student_init == "random" and loaded.modality == "features"

  def test_keys_cannot_be_theta(self):
    with pytest.raises(ArtifactError, match="`initial/rest` must be nested"):
      _artifact(initial={"rest": jax.random.key(0)})
    with pytest.raises(ArtifactError, match="keys that are texts .* 'a/b'"):
      _artifact(initial={"a/b": jnp.zeros(1)})

  def test_the_bytes_do_not_depend_on_the_moment(self):
    save(_artifact(), self.path)
    first = self.path.read_bytes()
    save(load(self.path), self.path)
    assert self.path.read_bytes() == first


# ----------------------------------------------------------- made by others


def test_from_samples_in_raw_and_in_model_space():
  source = _source()
  labels = np.array([0, 1, 2])
  raw = from_samples(
      _RAW[:3],
      labels,
      class_names=source.class_names,
      raw=True,
      preprocessing=source.preprocessing)
  ready = from_samples(
      source.train.encode(jnp.asarray(_RAW[:3])),
      np.eye(3)[labels],
      class_names=source.class_names,
      preprocessing=source.preprocessing)
  np.testing.assert_array_equal(raw.inputs, ready.inputs)
  np.testing.assert_array_equal(raw.labels, ready.labels)
  assert (raw.label_regime, ready.label_regime) == ("hard", "hard")
  assert raw.recipe == {"name": "converged"} and raw.method == "external"
  assert raw.order.tolist() == [[0, 1, 2]] and raw.codes == ()
  assert raw.storage_bytes["total"] == 3 * 16 * 4 + 3 * 3 * 4


def test_from_samples_by_default_divides_by_255():
  made = from_samples(
      _RAW[:2], [0, 1],
      class_names=("no", "yes"),
      raw=True,
      step_sizes=[0.1, 0.2])
  np.testing.assert_allclose(made.inputs, _RAW[:2] / 255, rtol=1e-6)
  np.testing.assert_array_equal(made.labels, [[0], [1]])
  assert made.recipe == {"name": "in_order"}


@pytest.mark.parametrize(
    "change, message",
    [(dict(inputs=_RAW), r"`inputs` must be .* raw=True; got uint8"),
     (dict(inputs=np.array(["a", "b"])), "`inputs` must be .* got <U1"),
     (
         dict(labels=[0, 3]),
         r"`labels` must be 0..1 for 2 class names; got 0..3"),
     (dict(labels=[[0, 1]]), r"`labels` must be \[M\] .*Soft labels"),
     (dict(labels=[0, 1, 1]), r"`labels` must have shape \(2, 1\)"),
     (dict(labels=np.eye(2)), r"`labels` must have shape \(2, 1\) .* \(2, 2\)"),
     (dict(step_sizes=[0.1], order=[[0], [1]]), "T a multiple of the 2 steps"),
     (dict(step_sizes=[-0.1]), "`step_sizes` must not be negative"),
     (dict(order=[[0, 2]]), "`order` must name samples 0..1; got 0..2"),
     (dict(order=[0, 1]), r"`order` must be int32 \[S, n\]"),
     (dict(inputs=np.full((2, 3), np.nan)), "`inputs` must be finite; got 6"),
     (dict(class_names=("a", "a")), "`class_names` must be two or more"),
     (
         dict(label_space="odds"),
         "`label_space` must be one of raw, .*; got odds"),
     (dict(recipe={"steps": 1}), '`recipe` must have a "name"'),
     (dict(recipe={"name": np.zeros(1)}), "`recipe` must hold JSON values"),
     (
         dict(
             preprocessing=preprocessing.Standardise(jnp.zeros(4), jnp.ones(
                 4))), r"`preprocessing` must fit .*\(3,\)"),
     (
         dict(preprocessing=object()),
         "`preprocessing` must be one of averaged_vectors")])
def test_from_samples_names_what_is_wrong(change, message):
  arguments = dict(
      inputs=np.zeros(
          (2, 3)), labels=[0, 1], class_names=("no", "yes")) | change
  with pytest.raises(
      ArtifactError if "object" not in str(change) else ValueError,
      match=message) as failure:
    from_samples(**arguments)
  assert "\n" not in str(failure.value)


# ------------------------------------------------------------ broken files


def _rewrite(path, change):
  """Changes tensors and document, with a checksum that fits."""
  tensors, document = storage.read(path)
  del document["sha256"]
  change(tensors, document)
  storage.write(path, tensors, document)


def _set(target, **values):

  def change(tensors, document):
    (document if target == "document" else tensors).update(values)

  return change


def _pop(target, name):

  def change(tensors, document):
    (document if target == "document" else tensors).pop(name)

  return change


def _nan(tensors, document):
  del document
  tensors["preprocessing/mean"][0] = np.nan


@pytest.mark.parametrize(
    "change, message",
    [(
        _set("document",
             schema_version=4), "at most 3; got 4. Upgrade distill_jax"),
     (
         _set("document",
              schema_version="1"), "`schema_version` must be 1 to 3; got '1'"),
     (
         _pop("document",
              "schema_version"), "`schema_version` must be 1 to 3; got None"),
     (_set("document", raw_dtype="int8"), "`raw_dtype` must be one of uint8"),
     (_pop("document", "recipe"), "it lacks recipe"),
     (_set("document", colour=1), "has unknown colour"),
     (_pop("tensors", "labels"), "labels is missing"),
     (_pop("tensors", "preprocessing/std"), "preprocessing/std is missing"),
     (_pop("tensors", "initial/params/head/bias"), "head/bias is missing"),
     (_set("tensors", more=np.zeros(1)), "got also more"),
     (
         _set("tensors", labels=np.zeros(
             (5, 3), np.float32)), r"\(6, 3\) .*\(5, "),
     (
         _set("tensors", inputs=np.zeros(
             (6, 4), np.float32)), "`modality` must be"),
     (
         _set("tensors", inputs=np.zeros(
             (6, 4, 4, 1))), "`inputs` must be float32"),
     (
         _set("document", class_names=["a", "b"
                                      ]), "for 6 inputs and 2 class names"),
     (_set("document", class_names=3), "`class_names` must be two or more"),
     (
         _set("document", order=[[0, 1, 2], [3, 4, 4]
                                ]), "`order` must be the same"),
     (
         _set("tensors", step_sizes=np.ones(
             3, np.float32)), "T a multiple of the 2 steps"),
     (_nan, "`preprocessing/mean` must be finite; got 1 NaN"),
     (_set("document", preprocessing="pca"), "`preprocessing` must be one of"),
     (_set("document", label_space="x"), "`label_space` must be one of raw"),
     (_set("document", label_regime=[]), "`label_regime` must be one of hard"),
     (_set("document", modality="audio"), "`modality` must be one of image"),
     (_set("document", student_init="random"), "`student_init` must be fixed"),
     (_set("document", network=[]), "`network` must be a dict"),
     (_set("document", storage_bytes={}), "`storage_bytes` must count samples"),
     (
         _set("document", initial={"params": 3
                                  }), "`initial/params` must be nested"),
     (_set("document", label_scale="1"), "`label_scale` must be a positive")])
def test_a_broken_file_is_refused(tmp_path, change, message):
  path = tmp_path / "set.safetensors"
  save(_artifact(), path)
  _rewrite(path, change)
  with pytest.raises(ArtifactError, match=message) as failure:
    load(path)
  assert "\n" not in str(failure.value) and str(path) in str(failure.value)


def _words(words=b"a\nb", row=0.0):
  table = jnp.array([[row, 0], [0, 0], [1, 0], [0, 1]], jnp.float32)
  record = WordVectors(table, jnp.asarray(np.frombuffer(words, np.uint8)))
  return from_samples(
      np.ones((2, 3, 2)), [0, 1], class_names=[*"ab"], preprocessing=record)


def _nested(depth):
  found = []
  for _ in range(depth):
    found = [found]
  return found


def _scaled(name, factor):

  def change(tensors, document):
    del document
    tensors[name] = tensors[name] * factor

  return change


def _bytes(**sizes):

  def change(tensors, document):
    del tensors
    document["storage_bytes"].update(sizes)

  return change


def _both(*changes):

  def change(tensors, document):
    for one in changes:
      one(tensors, document)

  return change


LIES = [
    (_scaled("preprocessing/std", 0), "`preprocessing/std` must be at least"),
    (_scaled("preprocessing/std", 1e-39), "/std` must be at least 1.2e-38"),
    (_scaled("preprocessing/std", -1), "`preprocessing/std` must be at least"),
    (_scaled("preprocessing/std", np.float32(np.inf)), "std` must be finite"),
    (_scaled("preprocessing/mean", np.complex64(1)), "mean` must be real"),
    (
        _set("tensors", **{"preprocessing/mean": np.zeros(1, np.int32)}),
        "`preprocessing/mean` must be real floating numbers; .*int32"),
    (
        _scaled("initial/params/head/bias",
                np.complex64(1)), "`initial/params/head/bias` must be real"),
    (_scaled("step_sizes", np.float32(1e30)), "`step_sizes` must be at most"),
    (_set("document", label_regime="hard"), "`labels` must be those of one"),
    (_set("document", label_space="probabilities"), "must be probabilities"),
    (
        _set("document", network=dict(name="mlp", widths=[10**9])),
        r"can be built; `widths` of `network` .* \[1, 16,384\]"),
    (
        _set("document", network=dict(name="mine", width=1e9)),
        r"`width` of `network` must be in \[1, 16,384\]"),
    (_set("document", network=dict(name="mlp", size=2)), "no setting 'size'"),
    (_set("document", network=dict(name="mlp", widths="ab")), "be a list"),
    (
        _set("document", recipe=dict(name="in_order", num_steps=10**12)),
        "can be built; `num_steps` of `recipe` must be in"),
    (_set("document", recipe=dict(name="dm")), "`recipe` must be in_order"),
    (_bytes(samples=1), "`storage_bytes/samples` must be the 384 bytes"),
    (_bytes(labels=71), "`storage_bytes/labels` must be the 72 bytes"),
    (_bytes(step_sizes=0), "`storage_bytes/step_sizes` must be the 16 bytes"),
    (_bytes(initial=0), "`storage_bytes/initial` must be the 412 bytes"),
    (_bytes(total=0), "`storage_bytes/total` must be the 472 bytes"),
    (_bytes(extra=9), "`storage_bytes/total` must be the 481 bytes"),
    (
        _both(
            _set("document", codes="array"),
            _set("tensors", codes=np.zeros((6, 4, 4, 1), np.float32))),
        "`codes` must be the inputs where `parameterization` is pixels"),
    (_set("document", class_names=[["a"], ["b"], ["c"]]), "different texts"),
    (_set("document", class_names=[1, 2, 3]), "different texts"),
    (_set("document", recipe={}), '`recipe` must have a "name"'),
    (_set("document", recipe=dict(name="in_order", momentum=5)), "in .0, 1"),
    (_set("document", recipe=dict(name="in_order", lr=1)), "among momentum"),
    (_set("document", recipe=dict(name="in_order", momentum=[])), "a number"),
    (_set("document", method="a\nb"), "`method` must be a name"),
    (_set("document", label_scale=1e300), "`label_scale` must be a positive"),
    (_set("document", class_names=["a", "b", "b" * 9_999]), None),
    (_set("document", class_names=["a", "b" * 9_999, "b" * 9_999]), "differ"),
    (_set("document", provenance=dict(facts=3)), "`provenance/facts` must be"),
    (_set("document", provenance=dict(findings=3)), "findings` must be a list"),
    (_set("document", modality="b" * 9_999), "`modality` must be one of"),
    (_set("document", preprocessing=[] * 99), "`preprocessing` must be one"),
    (_set("document", **{"b" * 9_999: 3}), "has unknown bbb"),
    (_set("document", schema_version="b" * 9_999), "`schema_version` must be"),
    (_set("document", schema_version=10**400), "`schema_version` must be at"),
    (_set("tensors", **{"b" * 9_999: np.zeros(1)}), "got also bbb")
]


@pytest.mark.parametrize("change, message", LIES)
def test_what_a_set_claims_is_checked(tmp_path, change, message):
  path = tmp_path / "set.safetensors"
  save(_artifact(), path)
  _rewrite(path, change)
  if message is None:
    load(path)
    return
  with pytest.raises(ArtifactError, match=message) as failure:
    load(path)
  said = str(failure.value).replace(str(path), "")
  assert "\n" not in said and len(said) <= 300


def test_whitening_is_of_the_size_of_a_sample(tmp_path):
  path = tmp_path / "set.safetensors"
  for name in ("whiten", "unwhiten"):
    save(_artifact("zca"), path)
    _rewrite(path, _set("tensors", **{f"preprocessing/{name}": np.eye(4)}))
    with pytest.raises(ArtifactError, match="`preprocessing` must fit samples"):
      load(path)


@pytest.mark.parametrize(
    "change, message", [(dict(words=b"a\na"), "must be different words"),
                        (dict(words=b"a\xff"), "must be UTF-8"),
                        (dict(words=b"a"), "name the 2 words"),
                        (dict(row=1.0), "table` must be zero for padding")])
def test_words_of_a_set_are_checked(change, message):
  _words()
  with pytest.raises(ArtifactError, match=message):
    _words(**change)


def test_no_deep_metadata_is_read_or_written(tmp_path):
  path = tmp_path / "set.safetensors"
  deep = dict(provenance=dict(deep=_nested(600)))
  with pytest.raises(ArtifactError, match="JSON values alone; .* 64 deep"):
    _artifact(**deep)
  save(_artifact(), path)
  with mock.patch.object(storage, "_DEPTH", 700):
    with mock.patch.object(storage._check_depth, "__defaults__", (700,)):
      _rewrite(path, _set("document", **deep))
  with pytest.raises(ArtifactError, match="nested more than 64 deep"):
    load(path)


def test_a_set_that_is_a_pipe_is_refused(tmp_path):
  os.mkfifo(tmp_path / "set.safetensors")
  with pytest.raises(ArtifactError, match="not a regular file"):
    load(tmp_path / "set.safetensors")


def _flip(content, place):
  return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


@pytest.mark.parametrize(
    "damage, message",
    [(lambda c: _flip(c, -2 % len(c)), "checksum does not fit"),
     (lambda c: c.replace(b"sldd", b"SLDD"), "checksum does not fit"),
     (lambda c: c[:-1], "not a safetensors file, or cut short"),
     (lambda c: c[:5], "not a safetensors file, or cut short"),
     (lambda c: b"", "not a safetensors file, or cut short"),
     (lambda c: pickle.dumps({"inputs": [1]}), "not a safetensors file"),
     (
         lambda c: safetensors.numpy.save({"x": np.zeros(2)}, {"by": "me"}),
         "has no metadata .*from_samples"),
     (
         lambda c: safetensors.numpy.save({}, {"distill_jax": "{"}),
         "metadata is not JSON"),
     (
         lambda c: safetensors.numpy.save({}, {"distill_jax": "[" * 100_000}),
         "metadata is not JSON"),
     (
         lambda c: safetensors.numpy.save({}, {"distill_jax": "[]"}),
         "JSON object")])
def test_a_damaged_file_is_refused(tmp_path, damage, message):
  path = tmp_path / "set.safetensors"
  save(_artifact(), path)
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(ArtifactError, match=message) as failure:
    load(path)
  assert "\n" not in str(failure.value)


def test_no_such_file(tmp_path):
  with pytest.raises(ArtifactError, match="`path` must .* there is no"):
    load(tmp_path / "set.safetensors")


def test_a_folder_stands_for_the_set_in_it(tmp_path):
  with pytest.raises(ArtifactError, match="Let the run of that folder end"):
    load(tmp_path)
  save(_artifact(), tmp_path / "other.safetensors")
  with pytest.raises(ArtifactError, match="its files: other.safetensors"):
    load(tmp_path)
  save(_artifact(), tmp_path / "distilled.safetensors")
  assert load(tmp_path).num_rows == _artifact().num_rows


@pytest.mark.parametrize(
    "write", [
        lambda made, path: save(made, path.with_suffix(".safetensors")),
        lambda made, path: exchange.export(made, path.with_suffix(".npz"))
    ])
def test_a_full_disk_leaves_the_old_file(tmp_path, write):
  write(_artifact(), tmp_path / "set")
  (path,) = tmp_path.iterdir()
  old = path.read_bytes()
  full = OSError(errno.ENOSPC, "No space left on device")
  with mock.patch.object(os, "fsync", side_effect=full):
    with pytest.raises(ArtifactError, match="No space left on device. Free"):
      write(_artifact(method="other"), tmp_path / "set")
  assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == old
  with pytest.raises(ArtifactError, match="`path` must be a file"):
    write(_artifact(), tmp_path / "missing" / "set")


def test_nothing_wrong_is_saved(tmp_path):
  path = tmp_path / "set.safetensors"
  with pytest.raises(ArtifactError, match="`label_space` must be one of"):
    save(_artifact()._replace(label_space="x"), path)
  with pytest.raises(ArtifactError, match="must hold JSON values alone"):
    save(_artifact()._replace(provenance={"x": {1, 2}}), path)
  assert not path.exists()


def test_an_older_file(tmp_path):
  made, path = _artifact(), tmp_path / "set.safetensors"
  made.save(path)
  _rewrite(path, _pop("document", "raw_dtype"))
  _assert_same(load(path), made)
  series = from_samples(
      np.zeros((2, 3, 4), np.float32), [0, 1], class_names=[*"ab"])
  assert (series.modality, series.raw_dtype) == ("series", "float32")
  series._replace(modality="text").save(path)
  assert load(path).inputs.shape == (2, 3, 4)


# ------------------------------------------------------------ as plain arrays


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("raw", [_RAW, np.float32(7 * (_RAW / 255) - 3)])
def test_to_numpy_is_in_the_units_of_the_data(raw, encoded):
  source = from_arrays(raw, np.arange(30) % 3, test_fraction=0)
  source = source.encoded() if encoded else source
  train = source.train
  made = to_artifact(
      backprop(Objective(None, None, None), pixels()),
      Distilled(
          train.encode(train.inputs),
          jnp.eye(3)[train.labels], jnp.zeros((0,))),
      source,
      method="toy",
      order=np.arange(30)[None])
  x, y = made.to_numpy()
  assert x.dtype == raw.dtype and y.dtype == np.int64
  np.testing.assert_allclose(x, raw, atol=0 if raw is _RAW else 1e-5)
  np.testing.assert_array_equal(y, np.arange(30) % 3)


def test_to_numpy_clips_and_says_what_labels_are():
  logits = np.float32([[0, 1, 2], [3, 0, 0]])
  made = from_samples(
      np.full((2, 2, 2, 1), 3.0),
      logits,
      class_names=[*"abc"],
      label_space="logits")
  x, y = made.to_numpy()
  assert x.dtype == np.uint8 and (x == 255).all()
  np.testing.assert_allclose(y, jax.nn.softmax(logits), rtol=1e-6)
  half = np.float32([[-1 / 3, 2 / 3, -1 / 3], [0.5, -0.25, -0.25]])
  made = made._replace(labels=half, label_space="centred")
  np.testing.assert_allclose(made.to_numpy()[1], half + 1 / 3, rtol=1e-6)
  hard = made.to_numpy(hard_labels=True)[1]
  assert hard.dtype == np.int64 and hard.tolist() == [1, 0]
  two = from_samples(
      made.inputs, np.float32([[0.4], [0.6]]), class_names=[*"ab"])
  assert two.to_numpy(hard_labels=True)[1].tolist() == [0, 1]


# --------------------------------------------------------------------- merge


def _part(classes, **settings):
  settings = dict(
      inputs=np.float32(classes)[:, None],
      labels=classes,
      class_names=[*"abc"],
      recipe={"name": "converged"},
      method="dm",
      provenance={"data": "toy"}) | settings
  return from_samples(**settings)


def test_merge():
  parts = [_part([0, 2]), _part([1], method="mtt"), _part([0], labels=[2])]
  union = merge([merge(parts[:2]), parts[2]])
  np.testing.assert_array_equal(union.inputs[:, 0], [0, 2, 1, 0])
  np.testing.assert_array_equal(union.to_numpy()[1], [0, 2, 1, 2])
  np.testing.assert_array_equal(union.order, [[0, 1, 2, 3]])
  assert union.method == "merged dm, mtt" and union.label_regime == "hard"
  assert union.provenance["data"] == "toy" and union.num_rows == 4
  sizes = [part.storage_bytes["total"] for part in parts]
  assert union.storage_bytes["total"] == sum(sizes)
  assert [p["num_samples"] for p in union.provenance["parts"]] == [2, 1, 1]
  assert [p["method"] for p in union.provenance["parts"]] == ["dm", "mtt", "dm"]


def test_merge_of_step_sizes():
  recipe = {"name": "in_order"}
  one, two = (
      _part([0, 1], step_sizes=[size], recipe=recipe) for size in (0.1, 0.3))
  assert "step_size" not in merge([one, one]).provenance
  union = merge([one, two])
  np.testing.assert_allclose(union.step_sizes, [0.2])
  assert union.provenance["step_sizes"] == "mean of 2 sets"


@pytest.mark.parametrize("path", [None, 3, "a\0b", "x" * 9_999])
def test_a_path_that_names_no_file_is_refused_in_a_line(path):
  with pytest.raises(ArtifactError, match="`path` must name") as caught:
    load(path)
  assert len(str(caught.value)) < 300 and "\0" not in str(caught.value)


def test_names_and_labels_of_any_usual_kind():
  x = np.zeros((3, 4), np.float32)
  expected = from_samples(x, [0, 1, 1], class_names=("cat", "caf\u00e9"))
  for labels, names in (([0, 1, 1], np.array([b"cat", b"caf\xc3\xa9"])),
                        (["cat", "cafe\u0301",
                          "caf\u00e9"], ("cat", "caf\u00e9")),
                        (np.array([0, 1, 1]) > 0, {1: "cafe\u0301", 0: "cat"})):
    made = from_samples(x, labels, class_names=names)
    assert made.class_names == expected.class_names
    np.testing.assert_array_equal(made.labels, expected.labels)


@pytest.mark.parametrize(
    "change, message",
    [(dict(class_names=[*"abd"]), "class 2 of 3 is 'c' and, in set 2.* 'd'"),
     (dict(label_space="probabilities"), "agree in label_space; got raw"),
     (dict(recipe={"name": "dm"}), "agree in recipe"),
     (dict(network={"name": "mlp"}), "agree in network"),
     (dict(inputs=np.zeros((2, 2))), "agree in the shape of a sample"),
     (
         dict(
             preprocessing=preprocessing.Standardise(jnp.ones(1), jnp.ones(1))),
         "agree in preprocessing; set 2"),
     (dict(step_sizes=[0.1]), "agree in step_sizes; set 2"),
     (dict(order=[[0], [1]]), "have one step .*; set 2 has 2 and random"),
     (dict(initial={"params": jnp.ones(1)}), "has 1 and fixed")])
def test_merge_refuses(change, message):
  with pytest.raises(ArtifactError, match=message) as failure:
    merge([_part([0, 1]), _part([0, 1], **change)])
  assert "\n" not in str(failure.value)


# ---------------------------------------------------------------- exchange


@pytest.mark.parametrize("fit", ["standardise", "zca"])
def test_npz_and_back(tmp_path, fit):
  made = _artifact(fit)
  exchange.export(made, tmp_path / "set.npz")
  _assert_same(made, exchange.import_npz(tmp_path / "set.npz"))
  with np.load(tmp_path / "set.npz", allow_pickle=False) as arrays:
    np.testing.assert_array_equal(arrays["x"], made.inputs)
    np.testing.assert_array_equal(arrays["y"], made.labels)
    np.testing.assert_array_equal(arrays["mean"], made.preprocessing.mean)
    assert arrays["class_names"].tolist() == ["a", "b", "é"]
    pixels = arrays["pixels"]
    assert pixels.shape == (6, 4, 4, 1) and pixels.dtype == np.float32
    assert 0 <= pixels.min() and pixels.max() <= 1
    assert json.loads(str(arrays["distill_jax"]))["method"] == "sldd"


def test_a_broken_npz_is_refused(tmp_path):
  path = tmp_path / "set.npz"
  exchange.export(_artifact(), path)
  with np.load(path) as archive:
    arrays = dict(archive)
  for change, message in (({"y": arrays["y"] + 1}, "checksum"), ({
      "distill_jax": np.array("{")
  }, "must name an exported set"), ({"distill_jax": np.array("3")},
                                    "Wrap its arrays with `from_samples`"),
                          ({"x": np.array([{}])}, "plain arrays")):
    np.savez(path, **(arrays | change))
    with pytest.raises(ArtifactError, match=message):
      exchange.import_npz(path)
  encrypted = path.read_bytes()
  encrypted = encrypted.replace(encrypted[:8], encrypted[:6] + b"\1\0")
  for content in (b"", b"no archive", encrypted):
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="must name an exported set"):
      exchange.import_npz(path)
  with open(path, "wb") as file:
    np.save(file, np.zeros(2))
  with pytest.raises(ArtifactError, match="must name an exported set"):
    exchange.import_npz(path)


def test_pixels_by_preprocessing():
  names = ("a", "b", "c")
  shown = lambda images, record: exchange.to_pixels(
      from_samples(
          np.asarray(images, np.float32).reshape(3, 2, 2, 1), [0, 1, 2],
          class_names=names,
          preprocessing=record))[..., 0].reshape(3, 4)
  inside, beyond, flat = [0, 0.2, 0.4, 1.001], [-1, 0, 1, 3], [2, 2, 2, 2]
  record = preprocessing.Standardise(jnp.array([0.5]), jnp.array([0.5]))
  images = (np.array([inside, beyond, flat]) - 0.5) / 0.5
  np.testing.assert_allclose(
      shown(images, record),
      [[0, 0.2, 0.4, 1], [0, 0.25, 0.5, 1], [1, 1, 1, 1]],
      atol=1e-6)
  # NumPy's own: one outlier of sixteen lies beyond mean + 2.5 std.
  image = np.zeros(16)
  image[0], image[1] = 10, -1
  limit = image.mean() + 2.5 * image.std()
  record = preprocessing.ZCA(
      jnp.full((16,), 2.0), 2 * jnp.eye(16),
      jnp.eye(16) / 2)
  made = from_samples((np.stack([image, image]) - 2).reshape(2, 4, 4, 1) * 2,
                      [0, 1],
                      class_names=names[:2],
                      preprocessing=record)
  pixels = exchange.to_pixels(made).reshape(2, 16)
  np.testing.assert_allclose(pixels[0, :3], [1, 0, 1 / (limit + 1)], rtol=1e-5)


def test_png_has_a_row_per_class(tmp_path, monkeypatch):
  image = pytest.importorskip("PIL.Image")
  pixels = np.linspace(0, 1, 46, dtype=np.float32)
  classes = np.array([0, 1, 2, 0, 1, 2, *[3] * 40])

  def drawn(num, order=None, channels=3):
    made = from_samples(
        np.broadcast_to(pixels[:num, None, None, None], (num, 4, 4, channels)),
        classes[:num],
        class_names=("a", "b", "c", "d"),
        order=order)
    with monkeypatch.context() as without:
      without.setitem(sys.modules, "PIL", None)
      exchange.export(made, tmp_path / "set.png")
    return np.asarray(image.open(tmp_path / "set.png"))

  picture = drawn(6, [[5, 1, 0], [2, 4, 3]])
  assert picture.shape == (2 + 3 * 66, 2 + 2 * 66, 3)
  centres = picture[34::66, 34::66, 0]
  expected = np.round(255 * pixels)[np.array([[0, 3], [1, 4], [5, 2]])]
  np.testing.assert_array_equal(centres, expected)
  assert (picture[0] == 255).all()
  assert drawn(46).shape == (2 + 5 * 66, 2 + 20 * 66, 3)
  assert drawn(3, channels=1).shape == (2 + 66, 2 + 3 * 66)


def test_a_picture_may_be_bounded():
  image = pytest.importorskip("PIL.Image")
  made = from_samples(
      np.zeros((30, 100, 80, 3)), np.arange(30) % 3, class_names=[*"abc"])

  def size(**bounds):
    return image.open(io.BytesIO(exchange.picture(made, **bounds))).size

  assert size(side=50) == (2 + 10 * 82, 2 + 3 * 102)  # halved, then doubled
  assert size(most=7) == (2 + 2 * 82, 2 + 3 * 102)
  assert size(most=2, side=25) == (2 + 2 * 62, 2 + 77)


def test_export_refuses_other_endings(tmp_path):
  with pytest.raises(ValueError, match="must end in .npz or .png, or .*jpg"):
    exchange.export(_artifact(), tmp_path / "set.jpg")
  features = from_samples(np.eye(3), [0, 1, 2], class_names=("a", "b", "c"))
  with pytest.raises(ValueError, match="must hold images .* got features"):
    exchange.export(features, tmp_path / "set.png")
  exchange.export(features, tmp_path / "set.npz")
  _assert_same(features, exchange.import_npz(tmp_path / "set.npz"))
  five = from_samples(np.zeros((2, 4, 4, 5)), [0, 1], class_names=("a", "b"))
  with pytest.raises(ValueError, match="1 or 3 channels .* got 5"):
    exchange.export(five, tmp_path / "set.png")


def test_the_document_says_what_the_schema_says(tmp_path):
  path = tmp_path / "set.safetensors"
  save(_artifact(), path)
  with safetensors.safe_open(path, framework="np") as file:
    document = json.loads(file.metadata()["distill_jax"])
    assert {"inputs", "labels", "step_sizes", "order"} <= set(file.keys())
  assert document["schema_version"] == 1
  assert document["preprocessing"] == "standardise"
  assert document["order"] == [[0, 1, 2], [3, 4, 5]]


def test_a_feature_of_large_offset_leaves_the_library_as_it_came():
  y = np.arange(60) % 3
  seconds = 1.7e9 + 30 * y + np.random.default_rng(0).uniform(-10, 10, 60)
  x = np.stack([seconds, y.astype(float)], 1)
  record = from_arrays(x, y).train.preprocessing.original
  encoded = record.apply(x)
  assert encoded.dtype == np.float64
  assert len(np.unique(encoded[:, 0])) == 60
  made = from_samples(
      x[:3], y[:3], class_names=[*"abc"], preprocessing=record, raw=True)
  back, _ = made.to_numpy()
  assert back.dtype == np.float64
  np.testing.assert_allclose(back[:, 0], seconds[:3], rtol=0, atol=1e-2)
  plain = from_samples(
      x[:3, 1:], y[:3], class_names=[*"abc"], preprocessing=None)
  assert plain.to_numpy()[0].dtype == np.float32
