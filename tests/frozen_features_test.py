"""Closed forms for features: the probe of a few points is that of all data."""

import functools
import pathlib
import tempfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from sklearn.linear_model import Ridge

from distill_jax import artifact, frozen_features
from distill_jax.data import from_arrays
from distill_jax.data.features import unchanged
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.evaluation.probes import linear_probe
from distill_jax.frozen_features import (
    class_means_and_covariance,
    hard_labelled_points,
    smallest_set,
    solved_labels,
    sufficient_statistics_set,
)
from distill_jax.labels import centred_rows, classes_of_labels, uncentred
from distill_jax.moments import (
    Moments,
    Probe,
    moments_of,
    ridge_probe,
    split_moments,
)
from distill_jax.probe_set import ProbeSet, fit_probe, probe_artifact
from distill_jax.types import Samples, TrainingSet

N, D, C = 4000, 64, 10
RIDGES = (1.0, 100.0, 1e4)


@functools.cache
def _toy(num_classes: int = C, size: int = N, features: int = D):
  """Gaussian classes of unequal sizes about means of their own."""
  generator = np.random.default_rng(0)
  shares = np.arange(1, num_classes + 1) / np.arange(1, num_classes + 1).sum()
  means = generator.normal(size=(num_classes, features))
  mix = np.eye(features) + 0.5 * generator.normal(
      size=(features, features)) / np.sqrt(features)

  def draw(size):
    y = generator.choice(num_classes, size, p=shares)
    z = means[y] + 2 * generator.normal(size=(size, features)) @ mix + 3
    return z, y

  return (*draw(size), *draw(1000))


def _moments(num_classes: int = C) -> Moments:
  z, y, *_ = _toy(num_classes)
  return moments_of(z, y, num_classes=num_classes)


def _direct(z, y, num_classes, ridge) -> Probe:
  """The probe by scikit-learn, which centres by itself."""
  rows = np.eye(num_classes)[y] - 1 / num_classes
  rows = rows[:, -1:] if num_classes == 2 else rows
  fitted = Ridge(alpha=ridge, solver="cholesky").fit(z, rows)
  mean = z.mean(0)
  offset = fitted.predict(mean[None])[0]
  weights = fitted.coef_.reshape(rows.shape[1], -1)
  return Probe(weights.T, mean, np.atleast_1d(offset))


def _error(probe: Probe, other: Probe, scale: float = 1.0) -> float:
  """Largest relative difference of weights and offset."""
  return max(
      np.linalg.norm(scale * a - b) / np.linalg.norm(b)
      for a, b in ((probe.weights, other.weights), (probe.y_mean,
                                                    other.y_mean)))


def _accuracy(probe: Probe, num_classes: int = C) -> float:
  *_, z, y = _toy(num_classes)
  return (probe.classes(z) == y).mean()


class MomentsTest(parameterized.TestCase):

  @parameterized.product(num_classes=(2, 3, C), ridge=RIDGES)
  def test_probe_is_ridge_regression(self, num_classes, ridge):
    z, y, *_ = _toy(num_classes)
    direct = _direct(z, y, num_classes, ridge)
    probe = ridge_probe(_moments(num_classes), ridge)
    assert _error(probe, direct) < 1e-11
    np.testing.assert_allclose(
        probe.outputs(z[:5]),
        (z[:5] - z.mean(0)) @ direct.weights + direct.y_mean)
    outputs = 1 if num_classes == 2 else num_classes
    chex.assert_shape(probe.weights, (D, outputs))

  def test_sums(self):
    z, y, *_ = _toy()
    moments = _moments()
    rows = np.eye(C)[y]
    np.testing.assert_allclose(moments.gram, (N - 1) * np.cov(z.T), atol=1e-8)
    np.testing.assert_allclose(
        moments.cross, (z - z.mean(0)).T @ (rows - rows.mean(0)), atol=1e-8)
    np.testing.assert_allclose(
        moments.class_means[3], z[y == 3].mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.y_mean, rows.mean(0) - 0.1, atol=1e-14)
    assert moments.scale == pytest.approx((N - 1) * z.var(0, ddof=1).mean(),
                                          rel=1e-10)

  def test_added_and_withdrawn(self):
    z, y, *_ = _toy()
    parts = [
        moments_of(z[rows], y[rows], num_classes=C)
        for rows in np.split(np.arange(N), [7, 1000])
    ]
    whole = moments_of(z, y, num_classes=C, rows=N)
    chex.assert_trees_all_close(
        sum(parts[1:], parts[0]), whole, _moments(), rtol=1e-12)
    left = whole - parts[1]
    chex.assert_trees_all_close(left, parts[0] + parts[2], rtol=1e-9)
    kept = np.r_[:7, 1000:N]
    direct = _direct(z[kept], y[kept], C, 10.0)
    assert _error(ridge_probe(left, 10.0), direct) < 1e-10
    set_of_left = smallest_set(left, 10.0)
    assert _error(fit_probe(set_of_left), direct) < 1e-10

  def test_a_shard_may_lack_classes(self):
    z, y, *_ = _toy()
    few = moments_of(z[y == 2], y[y == 2], num_classes=C)
    rest = moments_of(z[y != 2], y[y != 2], num_classes=C)
    assert few.counts.tolist()[:4] == [0, 0, (y == 2).sum(), 0]
    chex.assert_trees_all_close(few + rest, _moments(), rtol=1e-12)

  def test_float32_features(self):
    z, y, *_ = _toy()
    narrow = moments_of(jnp.asarray(z, jnp.float32), y, num_classes=C)
    wide = moments_of(z.astype(np.float32), y, num_classes=C, rows=1)
    assert narrow.products.dtype == np.float64
    chex.assert_trees_all_close(narrow, wide, rtol=1e-12)
    made = sufficient_statistics_set(narrow, 1.0)
    assert _error(fit_probe(made), ridge_probe(narrow, 1.0)) < 1e-11
    assert _error(fit_probe(made), ridge_probe(_moments(), 1.0)) < 1e-5

  def test_of_a_split(self):
    z, y, *_ = _toy()
    split = from_arrays(z, y, test_fraction=0).train
    encoded = split.encode(split.inputs)
    assert abs(float(encoded.mean())) < 1e-3
    chex.assert_trees_all_close(
        split_moments(split, rows=999),
        moments_of(encoded, y, num_classes=C),
        rtol=1e-5,
        atol=1e-2)

  @parameterized.named_parameters(
      ("shape", lambda: moments_of(np.ones(3), [0], num_classes=2), "N, D"),
      ("length", lambda: moments_of(np.ones(
          (3, 2)), [0], num_classes=2), "N"), (
              "class", lambda: moments_of(np.ones(
                  (1, 2)), [2], num_classes=2), r"0\.\.1; got 2"),
      (
          "float", lambda: moments_of(np.ones(
              (1, 2)), [.5], num_classes=2), "integers; got float64"),
      (
          "one", lambda: moments_of(np.ones(
              (1, 2)), [0], num_classes=1), "at least 2; got 1"),
      (
          "nan",
          lambda: moments_of(np.full((1, 2), np.nan), [0], num_classes=2),
          r"finite; got NaN or infinity in rows 0\.\.0"), (
              "rows",
              lambda: moments_of(np.ones((1, 2)), [0], num_classes=2, rows=0),
              "`rows` must be at least 1; got 0"),
      ("added", lambda: _moments() + _moments(3), r"\(10, 64\); got \(3, 64\)"),
      ("tuple", lambda: _moments() + (1,), "got tuple"), (
          "withdrawn", lambda: moments_of(np.ones(
              (1, D)), [0], num_classes=C) - _moments(), "were added"),
      (
          "empty", lambda: ridge_probe(
              moments_of(np.ones(
                  (0, 2)), np.zeros(0, int), num_classes=2), 1.0),
          "at least one sample"), (
              "images", lambda: split_moments(
                  from_arrays(np.ones(
                      (2, 4, 4, 1)), [0, 1], test_fraction=0).train),
              r"\(2, 4, 4, 1\)"),
      ("ridge", lambda: ridge_probe(_moments(), 0.0), "positive.*; got 0"))
  def test_refused(self, make, message):
    with pytest.raises(ValueError, match=message) as caught:
      make()
    assert "\n" not in str(caught.value)


class ClosedFormsTest(parameterized.TestCase):

  @parameterized.parameters(2, 3, C)
  def test_sufficient_statistics(self, num_classes):
    moments = _moments(num_classes)
    made = sufficient_statistics_set(moments, 1.0)
    assert made.inputs.shape == (D, D)
    for ridge in RIDGES:  # the same points
      probe = fit_probe(made._replace(ridge=ridge))
      assert _error(probe, ridge_probe(moments, ridge)) < 1e-12

  def test_fewer_directions_are_those_that_tell_most(self):
    moments, ridge = _moments(), 100.0
    values, vectors = np.linalg.eigh(moments.gram)
    gains = np.square(vectors.T @ moments.cross).sum(1) / (values + ridge)
    made = sufficient_statistics_set(moments, ridge, at_most=12)
    kept = vectors[:, np.argsort(gains)[-12:]]
    z = made.inputs - moments.z_mean
    np.testing.assert_allclose(z @ kept @ kept.T, z, atol=1e-9)
    largest = vectors[:, -12:]
    assert np.abs(z @ largest @ largest.T - z).max() > 0.1
    full = _accuracy(ridge_probe(moments, ridge))
    assert 0.5 * full < _accuracy(fit_probe(made)) < full

  def test_directions_without_samples_are_dropped(self):
    z, y, *_ = _toy()
    z = np.concatenate([z, z[:, :5], np.ones((N, 1))], axis=1)
    moments = moments_of(z, y, num_classes=C)
    made = sufficient_statistics_set(moments, 1.0)
    assert len(made.inputs) == D
    assert _error(fit_probe(made), ridge_probe(moments, 1.0)) < 1e-9

  @parameterized.product(num_classes=(2, 3, C), ridge=RIDGES)
  def test_smallest(self, num_classes, ridge):
    moments = _moments(num_classes)
    made = smallest_set(moments, ridge)
    assert len(made.inputs) == num_classes - 1
    assert made.ridge == pytest.approx(ridge * (num_classes - 1) / N)
    assert _error(fit_probe(made), ridge_probe(moments, ridge)) < 1e-12
    length = np.linalg.norm(made.inputs - moments.z_mean, axis=1)
    z, *_ = _toy(num_classes)
    typical = np.sqrt(np.square(z - z.mean(0)).sum(1).mean())
    np.testing.assert_allclose(length, typical)

  @parameterized.product(
      num_classes=(2, 3, C), ridge=(1.0, 1e4), set_ridge=(None, 1e-3, 1e6))
  def test_hard_labelled(self, num_classes, ridge, set_ridge):
    moments = _moments(num_classes)
    made = hard_labelled_points(moments, ridge, set_ridge=set_ridge)
    assert made.inputs.shape == (num_classes, D)
    np.testing.assert_allclose(
        made.labels,
        centred_rows(np.arange(num_classes), num_classes),
        rtol=1e-6)
    full, probe = ridge_probe(moments, ridge), fit_probe(made)
    weights = full.weights
    if num_classes == 2:
      weights = np.concatenate([-weights, weights], axis=1)
    largest = np.linalg.norm(weights, 2)
    kappa = max(1.0, 2 * np.sqrt(set_ridge or 0.0) * largest)
    assert (kappa > 1) == (set_ridge == 1e6)
    # A ridge far below the points' own size costs digits.
    assert _error(probe, full, kappa) < (1e-9 if set_ridge == 1e-3 else 1e-12)
    *_, z, _ = _toy(num_classes)
    np.testing.assert_array_equal(probe.classes(z), full.classes(z))

  @parameterized.parameters(2, 3, C)
  def test_class_means_and_covariance(self, num_classes):
    moments = _moments(num_classes)
    made = class_means_and_covariance(moments, 1.0)
    k = 1 + -(-D // num_classes)
    assert len(made.inputs) == k * num_classes
    for ridge in RIDGES:
      probe = fit_probe(made._replace(ridge=ridge))
      assert _error(probe, ridge_probe(moments, ridge)) < 1e-12
    points = made.inputs.reshape(num_classes, k, D)
    np.testing.assert_allclose(points.mean(1), moments.class_means, rtol=1e-12)
    assert made.weights.sum() == pytest.approx(N)
    np.testing.assert_array_equal(
        classes_of_labels(uncentred(made.labels)),
        np.repeat(np.arange(num_classes), k))
    more = class_means_and_covariance(moments, 1.0, samples_per_class=k + 2)
    assert _error(fit_probe(more), ridge_probe(moments, 1.0)) < 1e-12

  def test_fewer_points_lose_little_by_little(self):
    moments, ridge = _moments(), 1.0
    full = ridge_probe(moments, ridge)
    errors, accuracies = [], []
    for k in (1, 2, 4, 8):
      made = class_means_and_covariance(moments, ridge, samples_per_class=k)
      spread = made.weights @ np.square(made.inputs - moments.z_mean).sum(1)
      # What is left out of the scatter is in the ridge.
      assert spread + D * (made.ridge - ridge) == pytest.approx(
          np.trace(moments.gram))
      errors.append(_error(fit_probe(made), full))
      accuracies.append(_accuracy(fit_probe(made)))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-12
    assert accuracies == sorted(accuracies) and accuracies[0] < accuracies[-1]
    means = class_means_and_covariance(moments, ridge, samples_per_class=1)
    np.testing.assert_allclose(means.inputs, moments.class_means)

  @parameterized.product(num_classes=(2, 3, C), pull=(1e-6, 0.1))
  def test_solved_labels(self, num_classes, pull):
    z, y, *_ = _toy(num_classes)
    rows = np.concatenate(
        [np.flatnonzero(y == c)[:5] for c in range(num_classes)])
    made = solved_labels(
        _moments(num_classes), z[rows], y[rows], 40.0, pull=pull)
    # The same by least squares on all predictions, stacked with the pull.
    targets = np.eye(num_classes)[y][:, -len(made.labels[0]):]
    hard = targets[rows] - targets.mean(0)
    targets = targets - targets.mean(0)
    all_z, own = z - z.mean(0), z[rows] - z.mean(0)
    ridge = 40.0 * len(rows) / N
    assert made.ridge == pytest.approx(ridge)
    a = all_z @ own.T @ np.linalg.inv(own @ own.T + ridge * np.eye(len(rows)))
    root = np.sqrt(pull * np.square(a).sum() / len(rows))
    direct = np.linalg.lstsq(
        np.concatenate([a, root * np.eye(len(rows))]),
        np.concatenate([targets, root * hard]))[0]
    np.testing.assert_allclose(
        made.labels - made.label_offset, direct, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(made.inputs, z[rows], atol=1e-12)

  def test_solved_labels_are_better(self):
    z, y, *_ = _toy()
    rows = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(C)])
    moments = _moments()
    solved = solved_labels(moments, z[rows], y[rows], 40.0)
    hard = solved_labels(moments, z[rows], y[rows], 40.0, pull=1e9)
    np.testing.assert_allclose(hard.labels, np.eye(C)[y[rows]] - 0.1, atol=1e-6)
    assert _accuracy(fit_probe(solved)) > _accuracy(fit_probe(hard)) + 0.1

  @parameterized.named_parameters(
      ("ridge", lambda m: smallest_set(m, -1.0), "`ridge` must be positive"), (
          "set_ridge", lambda m: hard_labelled_points(m, 1.0, set_ridge=0.0),
          "must be positive.*; got 0"), (
              "at_most", lambda m: sufficient_statistics_set(m, 1.0, at_most=0),
              "`at_most` must be at least 1; got 0"),
      (
          "per_class",
          lambda m: class_means_and_covariance(m, 1.0, samples_per_class=0),
          "`samples_per_class`.*; got 0"), (
              "alike", lambda m: smallest_set(m._replace(sums=0 * m.sums), 1.0),
              "tell classes apart"),
      (
          "points", lambda m: solved_labels(m, np.ones(
              (2, 3)), [0, 1], 1.0), r"\[M, 64\].*\(2, 3\)"),
      (
          "none",
          lambda m: solved_labels(m, np.ones(
              (0, D)), np.zeros(0, int), 1.0), r"\(0, 64\)"),
      (
          "class", lambda m: solved_labels(m, np.ones(
              (1, D)), [10], 1.0), r"0\.\.9; got 10\.\.10"),
      (
          "pull",
          lambda m: solved_labels(m, np.ones(
              (1, D)), [1], 1.0, pull=0.0), "`pull` must be positive; got 0"))
  def test_refused(self, make, message):
    with pytest.raises(ValueError, match=message) as caught:
      make(_moments())
    assert "\n" not in str(caught.value)


FORMS = {
    "all": sufficient_statistics_set,
    "smallest": smallest_set,
    "hard": hard_labelled_points,
    "moments": class_means_and_covariance
}


class EvaluatedTest(parameterized.TestCase):
  """Sets as artifacts, through the one evaluator."""

  @parameterized.parameters(("all", 3), ("smallest", 2), ("hard", 2),
                            ("hard", 3), ("moments", 2))
  def test_a_set_is_worth_all_data(self, form, num_classes):
    z, y, z_test, y_test = _toy(num_classes)
    source = from_arrays(z, y, z_test, y_test)
    moments = split_moments(source.train)
    ridge = 1e-9 * moments.scale  # far below what float32 resolves
    made = probe_artifact(FORMS[form](moments, ridge), source)
    assert made.modality == "features" and made.provenance["data"] == "arrays"
    hard = form in ("hard", "moments")
    assert made.label_regime == ("hard" if hard else "soft_fixed")
    assert made.storage_bytes["total"] == (
        made.inputs.nbytes + made.labels.nbytes + 4 *
        (len(made.inputs) + 1 + D + made.labels.shape[1]))
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / "set.safetensors"
      artifact.save(made, path)
      made = artifact.load(path)
    report = evaluate_set(
        jax.random.key(0), made, source.test, learner=linear_probe())
    assert report.num_networks == 1
    x = source.test.encode(source.test.inputs)
    full = (ridge_probe(moments, ridge).classes(x) == y_test).mean()
    assert abs(report.mean - full) < 0.002
    assert report.mean > max(np.bincount(y_test)) / len(y_test) + 0.1

  def test_weights_ridge_and_offsets_are_used(self):
    moments = _moments()
    made = class_means_and_covariance(moments, 1.0, samples_per_class=2)
    *_, x, _ = _toy()

    @jax.jit
    def fitted(training_set):
      return linear_probe().fit(jax.random.key(0), training_set)(x)

    def classes(probe_set):
      samples = Samples(
          probe_set.inputs, probe_set.labels, np.zeros(0), {
              "probe": {
                  name: np.asarray(getattr(probe_set, name)) for name in (
                      "weights", "ridge", "input_offset", "label_offset")
              }
          })
      order = np.arange(len(probe_set.inputs))[None]
      return fitted(jax.tree.map(jnp.asarray, TrainingSet(samples, order)))

    with jax.enable_x64(True):
      for other in (
          made,
          made._replace(weights=np.ones(2 * C)),
          made._replace(ridge=1e5),
          class_means_and_covariance(moments, 1e5),  # more than D points
          made._replace(label_offset=np.r_[1.0, np.zeros(C - 1)]),
          made._replace(input_offset=np.zeros(D))):
        found = classes(other)
        np.testing.assert_array_equal(found, fit_probe(other).classes(x))
        assert other is made or (found != classes(made)).any()

  @parameterized.parameters(2, 3)
  def test_plain_sets_are_centred_by_themselves(self, num_classes):
    z, y, z_test, y_test = _toy(num_classes)
    z, y = z[:50], y[:50]
    source = from_arrays(z, y, z_test, y_test, preprocessing=unchanged)
    made = artifact.from_samples(
        z,
        np.asarray(centred_rows(y, num_classes)),
        label_space="centred",
        class_names=source.class_names,
        preprocessing=unchanged(z))
    with jax.enable_x64(True):
      report = evaluate_set(
          jax.random.key(0), made, source.test, learner=linear_probe(0.1))
    ridge = 0.1 * np.square(z - z.mean(0)).sum() / len(z)
    direct = _direct(z, y, num_classes, ridge)
    assert report.mean == pytest.approx(
        (direct.classes(z_test) == y_test).mean(), abs=1e-3)

  def test_raw_labels_are_refused(self):
    z, y, z_test, y_test = _toy(3)
    source = from_arrays(z, y, z_test, y_test)
    made = artifact.from_samples(z[:9], y[:9], class_names=source.class_names)
    with pytest.raises(ValueError, match="must have centred labels"):
      evaluate_set(jax.random.key(0), made, source.test, learner=linear_probe())

  def test_learner(self):
    assert linear_probe(0.1) is linear_probe(0.1) and not linear_probe().random
    with pytest.raises(ValueError, match="`ridge` must be positive; got 0"):
      linear_probe(0.0)


def test_every_form_names_itself():
  for form in FORMS.values():
    made = form(_moments(), 1.0)
    assert isinstance(made, ProbeSet) and hasattr(frozen_features, made.method)
