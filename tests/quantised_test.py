"""Quantised storage: what is rounded, learned, kept, read back and counted."""

import json
import zlib
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from smooth import NETWORK as SMOOTH

import distill_jax as dd
from distill_jax import exchange, packing, schema, storage
from distill_jax.errors import ArtifactError, ConfigError
from distill_jax.evaluation import baselines
from distill_jax.evaluation.evaluator import evaluate_each
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.labels import centred_rows, cross_entropy, label_rows
from distill_jax.parameterization import from_spec
from distill_jax.parameterization.hallucinator import hallucinator
from distill_jax.parameterization.linear_bases import linear_bases
from distill_jax.parameterization.multi_formation import multi_formation
from distill_jax.parameterization.quantised import Quantiser, quantised
from distill_jax.quantising import encoding_of
from distill_jax.runs import assess
from distill_jax.types import Objective

KEY = jax.random.key(0)
SHAPES = {
    "even": (2, 8, 8, 1),
    "odd": (3, 7, 5, 3),
    "rows": (4, 9),
    "series": (2, 5, 3),
    "line": (7,)
}
MLP = {"name": "mlp", "widths": [4]}
X = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
SOURCE = dd.from_arrays(X, np.arange(60) % 3, test_fraction=0.3)


def _values(*shape):
  return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def _groups(shape, group, patch):
  """Index expressions of the groups of an array, one after the other."""
  every = tuple(slice(None) for _ in shape)
  if group == "tensor" or len(shape) < 2:
    return [every]
  if group == "channel":
    return [(*every[:-1], slice(c, c + 1)) for c in range(shape[-1])]
  if group == "image" or len(shape) != 4:
    return [(slice(r, r + 1), *every[1:]) for r in range(shape[0])]
  return [(slice(r, r + 1), slice(i, i + patch), slice(j, j + patch))
          for r in range(shape[0])
          for i in range(0, shape[1], patch)
          for j in range(0, shape[2], patch)]


def _by_loops(values, bits, group, patch):
  """v' and q by the formula, group by group, in NumPy."""
  out, integers = np.empty_like(values), np.empty(values.shape, np.uint8)
  for where in _groups(values.shape, group, patch):
    part = values[where]
    least = np.float16(part.min())
    if np.float32(least) > part.min():
      least = np.nextafter(least, np.float16(-np.inf))
    least = np.float32(least)
    step = np.float32(
        np.float16((part.max() - least) / np.float32(2**bits - 1)))
    q = np.zeros_like(part)
    if step:
      q = np.clip(np.round((part - least) / step), 0, 2**bits - 1)
    out[where], integers[where] = least + step * q, q
  return out, integers


@pytest.mark.parametrize("bits", (8, 4, 2))
@pytest.mark.parametrize("group", ("patch", "image", "channel", "tensor"))
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_bytes_equal_loops(shape, group, bits):
  values = 2 + _values(*SHAPES[shape])  # so that zeros would be extremes
  expected, integers = _by_loops(values, bits, group, 3)
  quantiser = Quantiser(bits, group, 3)
  np.testing.assert_array_equal(quantiser.rounded(values), expected)
  record = packing.pack(quantiser, values)
  np.testing.assert_array_equal(packing.unpack(quantiser, record), expected)
  number, groups = values.size, len(_groups(values.shape, group, 3))
  packed = np.zeros(-(-number * bits // 8), np.uint8)
  for i, q in enumerate(integers.ravel()):
    packed[i * bits // 8] |= q << i * bits % 8
  np.testing.assert_array_equal(record["packed"], packed)
  size = schema.num_bytes(packing.stored(record))
  assert size == len(packed) + 4 * groups == quantiser.num_bytes(values.shape)


@pytest.mark.parametrize("bits", (8, 4, 2))
def test_no_value_moves_by_more_than_half_a_level(bits):
  values = _values(4, 8, 8, 1)
  moved = np.abs(Quantiser(bits, "image").rounded(values) - values)
  ranges = np.ptp(values, axis=(1, 2, 3), keepdims=True)
  # Beside half a level what rounding to float16 moves minimum and scale.
  bound = ranges / (2**bits - 1) / 2 + 2**-11 * (np.abs(values).max() + ranges)
  assert (moved <= bound).all() and moved.max() > 0.3 * bound.max()


@pytest.mark.parametrize("group", ("patch", "image", "channel", "tensor"))
def test_constant_groups_are_exact(group):
  quantiser = Quantiser(2, group, 4)
  for value in (0.0, -1.5, 100.0, -0.1, 1e-9, 1 / 3):
    values = jnp.full((2, 6, 6, 1), value)
    with jax.debug_nans(True):
      found = np.asarray(quantiser.rounded(values))
    if float(np.float16(value)) == value:
      np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-5)
  half = jnp.where(
      jnp.arange(8)[:, None] < 4, 0.25,
      _values(2, 8, 8, 1)[..., 0])
  found = Quantiser(4, "patch", 4).rounded(half[..., None])
  np.testing.assert_array_equal(found[:, :4], np.full((2, 4, 8, 1), 0.25))
  assert np.isfinite(found).all()


def test_whole_numbers_stay():
  tree = {"rows": np.arange(5), "values": _values(2, 3)}
  record = packing.pack(Quantiser(), tree)
  np.testing.assert_array_equal(record["rows"], tree["rows"])
  found = jax.tree.map(Quantiser().rounded, jax.tree.map(jnp.asarray, tree))
  np.testing.assert_array_equal(found["rows"], tree["rows"])


def test_what_was_rounded_is_not_moved_again():
  quantiser = Quantiser(4, "patch", 3)
  once = quantiser.rounded(_values(3, 7, 5, 3))
  np.testing.assert_array_equal(quantiser.rounded(once), once)


def test_compiled_or_not_it_is_the_same_number():
  quantiser = Quantiser(8, "patch", 3)
  values = 100 * _values(5, 7, 5, 3)
  compiled = jax.jit(quantiser.rounded)(values)
  np.testing.assert_array_equal(compiled, quantiser.rounded(values))


def test_gradient_passes_straight_through():
  values, weight = jnp.asarray(_values(2, 8, 8, 1)), _values(2, 8, 8, 1)
  rounded = Quantiser(2).rounded

  def loss(values):
    return (weight * rounded(values)**2).sum()

  np.testing.assert_allclose(
      jax.grad(loss)(values), 2 * weight * rounded(values), rtol=1e-6)
  # Twice, as learners that are unrolled need it.
  twice = jax.grad(lambda v: jax.grad(loss)(v).sum())(values)
  np.testing.assert_allclose(twice, 2 * weight, rtol=1e-6)


@pytest.mark.parametrize(
    "inner",
    (multi_formation(2), linear_bases(3, reduction=2), hallucinator(2)))
def test_gradient_is_that_of_the_inner_one_at_rounded_codes(inner):
  """In float64, against central differences of a network's smooth loss."""
  with jax.enable_x64(True):
    inputs = jnp.asarray(_values(2 * inner.inputs_per_row, 6, 6, 1), "float64")
    codes = inner.init(KEY, inputs)
    stored = quantised(inner, bits=4, patch=3)
    images = inner.decode(codes)
    variables = SMOOTH.init(KEY, images)
    labels = jnp.eye(3, dtype="float64")[jnp.arange(len(images)) % 3]

    def loss(images):
      return cross_entropy(SMOOTH.apply(variables, images)[0], labels)

    found = jax.grad(lambda codes: loss(stored.decode(codes)))(codes)
    quantiser = Quantiser(4, "patch", 3)
    at = jax.tree.map(quantiser.rounded, codes)
    direction = jax.tree.map(
        lambda v: jnp.asarray(_values(*v.shape), "float64"), codes)

    def along(t):
      moved = jax.tree.map(lambda v, d: v + t * d, at, direction)
      return loss(inner.decode(moved))

    slope = (along(1e-5) - along(-1e-5)) / 2e-5
    total = sum(
        jax.tree.leaves(
            jax.tree.map(lambda g, d: (g * d).sum(), found, direction)))
    np.testing.assert_allclose(total, slope, rtol=1e-6)


STORED = {
    "pixels": dict(bits=4, patch=3),
    "multi_formation": dict(bits=2, inner=dict(name="multi_formation")),
    "linear_bases":
        dict(group="image", inner=dict(name="linear_bases", num_bases=3)),
    "hallucinator":
        dict(group="tensor", inner=dict(name="hallucinator", num_styles=2))
}


def _condensed(**settings):
  stored = dict(name="quantised", **settings)
  method = dd.methods.dm(num_steps=2, parameterization=stored)
  return dd.condense(SOURCE, method, per_class=2, network=MLP)


@pytest.fixture(scope="module", params=STORED)
def made(request):
  return _condensed(**STORED[request.param])


def _same(one, other):
  jax.tree.map(
      np.testing.assert_array_equal,
      *((a.inputs, a.labels, a.codes, a.stored_labels) for a in (one, other)))
  assert one.quantisation == other.quantisation


def test_a_file_gives_back_the_same_bits(made, tmp_path):
  paths = [tmp_path / f"{i}.safetensors" for i in range(2)]
  made.save(paths[0])
  loaded = dd.load(paths[0])
  _same(loaded, made)
  loaded.save(paths[1])
  assert paths[0].read_bytes() == paths[1].read_bytes()
  tensors = safetensors.numpy.load_file(paths[0])
  assert "inputs" not in tensors
  kinds = {str(t.dtype) for name, t in tensors.items() if "codes" in name}
  assert kinds == {"uint8", "float16", "int32"}
  assert loaded.num_rows == 6
  assert made.parameterization == "quantised"


def test_the_set_is_that_of_the_codes_it_was_trained_with():
  """The integers of an artifact decode to what `decode` gave of floats."""
  stored = quantised(multi_formation(2), bits=2, patch=3)
  start = dd.from_real(KEY, SOURCE, stored, num_samples=3)
  estimator = dd.backprop(
      Objective(None, None, None), stored)  # which only decodes
  made = dd.to_artifact(
      estimator, start, SOURCE, method="toy", order=[range(12)])
  np.testing.assert_array_equal(made.inputs, stored.decode(start.codes))
  np.testing.assert_array_equal(made.labels, np.tile(start.labels, (4, 1)))


def test_bytes_are_counted_from_what_is_packed():
  made = _condensed(bits=2, patch=5)
  # 6 images of 8 x 8, in four patches each; labels of 3 classes.
  samples = 6 * 64 // 4 + 6 * 4 * 4
  assert made.storage_bytes == dict(
      samples=samples,
      labels=6 * 12,
      step_sizes=0,
      decoder=0,
      total=samples + 72)
  small = dd.quantise(made, 2, patch=5, labels=8)
  assert small.storage_bytes["labels"] == 6 and small.num_rows == 6


def test_a_decoder_is_quantised_and_counted():
  made = _condensed(
      group="tensor", inner=dict(name="hallucinator", num_styles=2))
  decoder = 2 * (2 * (9 + 1) + 2 * 36) + 6 * 4  # values, then six tensors
  assert made.storage_bytes["decoder"] == decoder
  assert made.storage_bytes["samples"] == 6 * 64 + 4


def _set(labels=None, inputs=None, **settings):
  inputs = _values(6, 8, 8, 1) if inputs is None else inputs
  labels = np.arange(6) % 3 if labels is None else labels
  return dd.from_samples(
      inputs,
      labels,
      class_names=SOURCE.class_names,
      preprocessing=SOURCE.preprocessing,
      **settings)


def test_a_finished_set_is_rounded_as_the_quantiser_says(tmp_path):
  made = _set()
  small = dd.quantise(made, 4, group="image")
  np.testing.assert_array_equal(
      small.inputs,
      Quantiser(4, "image").rounded(made.inputs))
  np.testing.assert_array_equal(small.labels, made.labels)
  again = dd.quantise(small, 4, group="image")
  _same(again, small)
  small.save(tmp_path / "set.safetensors")
  _same(dd.load(tmp_path / "set.safetensors"), small)


def test_codes_of_a_finished_set_are_quantised_not_samples(tmp_path):
  stored = dict(name="multi_formation", factor=2)
  method = dd.methods.dm(num_steps=1, parameterization=stored)
  made = dd.condense(SOURCE, method, per_class=1, network=MLP)
  small = dd.quantise(made, 8)
  assert small.num_samples == 12 and small.num_rows == 3
  assert small.storage_bytes["samples"] == 3 * (64 + 4)
  codes = Quantiser().rounded(made.codes)
  np.testing.assert_array_equal(small.inputs, multi_formation(2).decode(codes))
  small.save(tmp_path / "set.safetensors")
  _same(dd.load(tmp_path / "set.safetensors"), small)
  with pytest.raises(ArtifactError, match="say how its codes are decoded"):
    dd.quantise(made._replace(provenance={}))


SPACES = {
    "raw": (np.eye(3)[np.arange(6) % 3] + 0.3 * _values(6, 3), 0.01),
    "probabilities": (np.random.default_rng(0).dirichlet([1, 1, 1], 6), 0.01),
    "logits": (3 * _values(6, 3), 0.02)
}


@pytest.mark.parametrize("bits, size", ((32, 4), (16, 2), (8, 1)))
@pytest.mark.parametrize("space", SPACES)
def test_soft_labels_of_fewer_bits(tmp_path, space, bits, size):
  rows, most = SPACES[space]
  made = _set(rows, label_space=space)
  small = dd.quantise(made, labels=bits)
  scales = 6 * 4 * (bits == 8)
  assert small.storage_bytes["labels"] == 6 * 3 * size + scales
  atol = {32: 0, 16: 2**-9, 8: most}[bits]
  np.testing.assert_allclose(small.labels, made.labels, rtol=0, atol=atol)
  assert small.label_regime == "soft_fixed"
  small.save(tmp_path / "set.safetensors")
  _same(dd.load(tmp_path / "set.safetensors"), small)


@pytest.mark.parametrize("space", ("raw", "centred"))
def test_hard_labels_are_exact_in_a_byte(tmp_path, space):
  rows = centred_rows if space == "centred" else label_rows
  made = _set(np.asarray(rows(jnp.arange(6) % 3, 3)), label_space=space)
  assert made.label_regime == "hard"
  for bits in (16, 8):
    small = dd.quantise(made, labels=bits)
    np.testing.assert_array_equal(small.labels, made.labels)
    assert small.storage_bytes["labels"] == 6
    small.save(tmp_path / "set.safetensors")
    _same(dd.load(tmp_path / "set.safetensors"), small)


def test_two_classes_have_one_output(tmp_path):
  made = dd.from_samples(
      _values(4, 5), np.array([0, 1, 1, 0]), class_names=("a", "b"))
  small = dd.quantise(made, 2, labels=8)
  np.testing.assert_array_equal(small.labels, [[0], [1], [1], [0]])
  small.save(tmp_path / "set.safetensors")
  _same(dd.load(tmp_path / "set.safetensors"), small)


@pytest.mark.parametrize(
    "call, text",
    ((lambda: quantised(bits=3), "`bits` must be 8, 4 or 2; got 3"),
     (lambda: quantised(bits=4.0), "`bits` must be 8, 4 or 2; got 4.0"),
     (lambda: quantised(bits=True), "`bits` must be"),
     (lambda: quantised(group="row"), "`group` must be one of"),
     (lambda: quantised(patch=0), "`patch` must be 1..256"),
     (lambda: quantised(5), "`inner` must be a parameterization, its name"),
     (lambda: quantised("gan"), "`parameterization` must be one of"),
     (lambda: quantised("quantised"), "of floats; got quantised"),
     (lambda: quantised(quantised()), "of floats; got quantised"),
     (lambda: dd.quantise(_set(), 3), "`bits` must be"),
     (lambda: dd.quantise(_set(), labels=4), "`labels` must be of 32"),
     (lambda: dd.quantise("set"), "`artifact` must be a distilled set"),
     (lambda: dd.quantise(_set(inputs=1e5 * _values(6, 8, 8, 1))), "65,504"), (
         lambda: from_spec({
             "name": "quantised",
             "bit": 4
         }), "has no setting 'bit'")))
def test_bad_arguments_are_one_clear_line(call, text):
  with pytest.raises(ValueError, match=text) as caught:
    call()
  assert "\n" not in str(caught.value)


def _changed(name, change):
  return lambda tensors, document: tensors.update({name: change(tensors[name])})


def _quantisation(**changes):
  return lambda tensors, document: document["quantisation"].update(changes)


LIES = {
    "codes/packed` must be 192 bytes":
        _changed("codes/packed", lambda t: t[:-1]),
    "codes/packed` must be 192":
        _changed("codes/packed", lambda t: t.astype(np.int32)),
    "`bits` must be 8, 4 or 2; got 3": _quantisation(bits=3),
    "`bits` must be a whole number; got '4'": _quantisation(bits="4"),
    "codes/packed` must be 96 bytes": _quantisation(bits=2),
    "codes/scale` must be float16": _quantisation(patch=2),
    "`group` must be one of": _quantisation(group="row"),
    "no setting 'factor'": _quantisation(inner=dict(name="pixels", factor=2)),
    "of floats; got quantised": _quantisation(inner=dict(name="quantised")),
    "`quantisation` must be settings of .* must have": _quantisation(more=3),
    "bits of labels; `labels` must be of 32, 16 or 8 bits; got 4":
        _quantisation(labels=4),
    "`codes` must be those .*decode to":
        _quantisation(inner=dict(name="multi_formation", factor=100_000)),
    "`codes` must be those of":
        _quantisation(inner=dict(name="linear_bases", num_bases=2)),
    "codes/scale` must be finite; got 1":
        _changed(
            "codes/scale", lambda t: np.where(
                np.arange(t.size).reshape(t.shape), t, np.float16(np.nan))),
    "codes/minimum` must be finite":
        _changed("codes/minimum", lambda t: t + np.float16(np.inf)),
    "codes/scale` must not be negative": _changed("codes/scale", lambda t: -t),
    "codes/minimum` must be float16":
        _changed("codes/minimum", lambda t: t.astype(np.float32)),
    "codes/shape` must be whole": _changed("codes/shape", lambda t: -t),
    "codes/packed` must be .* bytes for":
        _changed("codes/shape", lambda t: t * 10_000),
    "`labels` must have a row for each": _changed("labels", lambda t: t[:2]),
    "`labels` must be floats, or numbers":
        _changed("labels", lambda t: t + np.uint8(9)),
    "`labels` must be floats": _changed("labels", lambda t: t.astype(int)),
    "must be a dict": lambda t, document: document.update(quantisation=3),
    "`codes` must be packed":
        lambda tensors, document: (
            document.update(codes="array"), [
                tensors.pop(f"codes/{part}") for part in packing.PARTS
            ], tensors.update(codes=np.zeros((6, 8, 8, 1), np.float32))),
    "lacks quantisation": lambda t, document: document.pop("quantisation"),
    "has unknown .*quantisation":
        lambda t, document: document.update(schema_version=1),
    "`parameterization` must be quantised":
        lambda t, document: document.update(parameterization="pixels"),
    "`storage_bytes/samples` must be":
        lambda t, document: document["storage_bytes"].update(samples=1),
    "got also inputs":
        lambda tensors, d: tensors.update(
            inputs=np.zeros((6, 8, 8, 1), np.float32))
}


@pytest.mark.parametrize("text", LIES)
def test_a_file_that_lies_is_refused_in_one_line(text, tmp_path):
  path = tmp_path / "set.safetensors"
  dd.quantise(_set(), 4, labels=8).save(path)
  tensors, document = storage.read(path)
  document.pop("sha256")
  LIES[text](tensors, document)
  storage.write(path, tensors, document)
  with pytest.raises(ArtifactError, match=text) as caught:
    dd.load(path)
  assert "\n" not in str(caught.value)
  assert len(str(caught.value)) < 500


def test_samples_that_codes_do_not_decode_to_are_not_saved(tmp_path):
  made = dd.quantise(_set(), 4)
  for name in ("inputs", "labels"):
    other = made._replace(**{name: getattr(made, name) + 1})
    with pytest.raises(ArtifactError, match=name):
      other.save(tmp_path / "set.safetensors")


def test_unions_and_exports_hold_floats(tmp_path):
  made = dd.quantise(_set(), 4, labels=8)
  union = dd.merge([made, _set()])
  assert union.num_rows == 12 and not union.quantisation
  np.testing.assert_array_equal(union.inputs[:6], made.inputs)
  total = made.storage_bytes["samples"] + 6 * 64 * 4 + 12 * 12
  assert union.storage_bytes["total"] == total
  union.save(tmp_path / "set.safetensors")
  dd.export(made, tmp_path / "set.npz")
  read = exchange.import_npz(tmp_path / "set.npz")
  np.testing.assert_array_equal(read.inputs, made.inputs)


def test_a_report_counts_bits_and_adds_real_samples_quantised_alike():
  made = dd.quantise(_set(), 2, patch=4, labels=8)
  report = dd.evaluate(
      made,
      SOURCE,
      network="mlp",
      recipe=dict(name="converged", num_steps=5),
      num_networks=1,
      num_sets=1,
      networks_per_set=1,
      baselines="byte_matched_real")
  total = 6 * (16 + 4 * 4) + 6
  assert report["storage_bytes"]["total"] == total == 198
  assert report["bits_per_class"] == 8 * 198 / 3
  kept = schema.kept(made)
  content = b"".join(leaf.tobytes() for leaf in jax.tree.leaves(kept))
  assert len(content) == total
  assert report["compressed_bytes"] == len(zlib.compress(content, 9))
  assert set(
      report["baselines"]) == {"byte_matched_real", "byte_matched_quantised"}
  assert "198 bytes, 528 bits a class" in str(report)


def test_the_baseline_can_be_named_where_a_set_is_quantised():
  named = assess.Settings(baselines="byte_matched_quantised")
  assess.check_evaluation(named, {"name": "mlp"}, quantised=True)
  with pytest.raises(ConfigError, match="`baselines` must be one of"):
    assess.check_evaluation(named, {"name": "mlp"})


def test_real_samples_are_quantised_and_as_many_as_fit():
  seen = []

  def recorded(key, sets, *args, **settings):
    seen.append(np.asarray(sets.samples.inputs[0]))
    return evaluate_each(key, sets, *args, **settings)

  with mock.patch.object(baselines, "evaluate_each", recorded):
    found = baselines.run_baselines(
        KEY,
        _set(),
        SOURCE,
        learner=nearest_neighbours(),
        names=("byte_matched_quantised",),
        num_sets=1,
        storage_bytes=500,
        quantiser=Quantiser(2, "patch", 4))
  # 16 bytes of integers, 4 x 4 of scales and a label: 33 for each, so 15 fit.
  assert found["byte_matched_quantised"].num_samples == 15
  for inputs in seen:
    expected = Quantiser(2, "patch", 4).rounded(inputs)
    np.testing.assert_array_equal(inputs, expected)
  assert "byte_matched_quantised" not in baselines.possible()


@pytest.mark.parametrize(
    "inner, per_row", [({
        "name": "multi_formation",
        "factor": 2
    }, 4), ({
        "name": "frequency",
        "keep": 9,
        "mask": "lowpass",
        "per_row": 2
    }, 2)])
@pytest.mark.parametrize("bits", (0, 4))
def test_real_samples_are_stored_as_the_set_is(inner, per_row, bits):
  """Images of one brightness each are what they were, in any of these codes."""
  labels = np.arange(60) % 3
  x = np.ones(
      (60, 8, 8, 1)) * (80 * labels + np.arange(60) // 3)[:, None, None, None]
  source = dd.from_arrays(x.astype(np.uint8), labels)
  spec = inner
  if bits:  # no small image shares a patch with another one
    spec = dict(name="quantised", inner=inner, bits=bits, patch=4)
  method = dd.methods.dm(num_steps=1, batch_size=2, parameterization=spec)
  made = dd.condense(source, method, "mlp", per_class=2)
  seen = []

  def recorded(key, sets, *args, **settings):
    seen.append(sets)
    return evaluate_each(key, sets, *args, **settings)

  with mock.patch.object(baselines, "evaluate_each", recorded):
    found = baselines.run_baselines(
        KEY,
        made,
        source,
        learner=nearest_neighbours(),
        names=("encoded_real",),
        num_sets=2,
        num_samples=made.num_rows,
        encoding=encoding_of(made))["encoded_real"]
  assert found.num_samples == made.num_samples == 2 * per_row * 3
  samples, order = seen[-1].samples, np.asarray(seen[-1].order)
  assert sorted(order.ravel()) == list(range(found.num_samples))
  np.testing.assert_array_equal(samples.labels, [made.labels] * 2)
  assert not np.array_equal(*samples.inputs)  # each set is another draw
  for inputs, row in zip(samples.inputs[0], samples.labels[0], strict=True):
    real = source.train.encode(
        source.train.inputs)[source.train.labels == row.argmax(), 0, 0, 0]
    assert np.ptp(inputs) < 0.01  # scales are float16
    assert abs(np.asarray(real) - inputs[0, 0, 0]).min() < 0.01


@pytest.mark.parametrize(
    "spec, found", [({
        "name": "pixels"
    }, False), ({
        "name": "linear_bases",
        "num_bases": 2
    }, False), ({
        "name": "hallucinator",
        "num_styles": 1
    }, False), ({
        "name": "multi_formation",
        "factor": 2
    }, True)])
def test_which_sets_have_codes_of_real_samples(spec, found):
  method = dd.methods.dm(num_steps=1, batch_size=2, parameterization=spec)
  made = dd.condense(SOURCE, method, "mlp", per_class=1)
  encoding, small = map(encoding_of, (made, dd.quantise(made, bits=4)))
  assert (encoding is not None) == (small is not None) == found
  assert from_spec(encoding or spec).keeps_inputs == found
  if found:
    assert spec.items() <= encoding.items() <= small["inner"].items()
    assert small["bits"] == 4


def test_the_rival_in_the_same_codes_by_its_name(tmp_path):
  made = {
      factor:
          dd.condense(
              SOURCE,
              dd.methods.dm(
                  num_steps=1,
                  batch_size=2,
                  recipe=dict(name="dc", num_epochs=1),
                  parameterization=dict(name="multi_formation", factor=factor)),
              "mlp",
              per_class=2) for factor in (2, 4)
  }
  reports = [
      dd.evaluate(
          made[factor],
          SOURCE,
          num_networks=1,
          num_sets=1,
          networks_per_set=1,
          baselines="random_real,encoded_real",
          cache=tmp_path / "kept.json") for factor in (2, 4, 2)
  ]
  sizes = [r["baselines"]["encoded_real"]["num_samples"] for r in reports]
  assert sizes == [24, 96, 24]
  kept = [
      json.loads(k) for k in json.loads((tmp_path / "kept.json").read_text())
  ]
  assert sorted(k["baseline"] for k in kept) == [
      "encoded_real", "encoded_real", "random_real"
  ]
  assert {k["encoding"]["factor"] for k in kept if "encoding" in k} == {2, 4}
  with pytest.raises(ConfigError, match="encoded_real"):
    dd.evaluate(
        dd.condense(SOURCE, dd.methods.dm(num_steps=1), "mlp", per_class=1),
        SOURCE,
        baselines="encoded_real")


def test_rivals_need_the_number_of_rows_and_may_use_samples_twice():
  """Two rows of four real samples a class, of which there are six."""
  source = dd.from_arrays(X[:24], np.arange(24) % 3, test_fraction=0.25)
  made = dd.condense(
      source,
      dd.methods.dm(
          num_steps=1,
          batch_size=2,
          start="noise",
          parameterization=dict(name="multi_formation", factor=2)),
      "mlp",
      per_class=2)
  run = partial(
      baselines.run_baselines,
      KEY,
      made,
      source,
      learner=nearest_neighbours(),
      names=("encoded_real",),
      num_sets=1,
      encoding=encoding_of(made))
  assert run(num_samples=6)["encoded_real"].num_samples == 24
  with pytest.raises(ValueError, match="`num_samples` must be the number of"):
    run()
