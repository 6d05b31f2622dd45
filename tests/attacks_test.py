"""Attacks on linear models, where the best move is known; calibration by hand.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import artifact, data, nn
from distill_jax.errors import ConfigError
from distill_jax.evaluation import attacks, calibration, columns
from distill_jax.evaluation.evaluator import evaluate_set
from distill_jax.evaluation.recipes import converged
from distill_jax.evaluation.trained import networks_of
from distill_jax.types import Network

EPS = 0.03
STD, MEAN = np.float32([0.5, 0.2]), np.float32([0.4, 0.6])


def _images(num=12, low=0.3, high=0.7):
  x = np.random.default_rng(0).uniform(low, high, (num, 3, 3, 2))
  labels = np.arange(num) % 3
  return x.astype(np.float32), labels


def _linear(weights):
  """Logits of flattened inputs [B, ...]."""
  return lambda x: jnp.reshape(x, (len(x), -1)) @ weights


def _moved(outputs, x, labels, attack, **options):
  keys = jax.random.split(jax.random.key(0), len(x))
  return np.asarray(
      attacks.perturbed(keys, outputs, x, labels, attack=attack, **options))


class PerturbedTest(parameterized.TestCase):

  @parameterized.parameters((attacks.fgsm(EPS),), (attacks.pgd(EPS),))
  def test_moves_the_margin_by_eps_times_the_sum_of_weights(self, attack):
    """Through the normalisation: one output, and a margin of two of three."""
    x, _ = _images()
    w = np.random.default_rng(1).normal(size=(3, 3, 2)).astype(np.float32)
    y = np.float32(np.arange(12) % 2)[:, None]

    def outputs(points):
      return _linear(w.reshape(-1, 1))((points - MEAN) / STD)

    moved = _moved(outputs, x, y, attack)
    change = np.asarray(outputs(moved) - outputs(x))
    expected = EPS * np.abs(w / STD).sum()
    np.testing.assert_allclose(change, (1 - 2 * y) * expected, rtol=1e-3)
    chex.assert_trees_all_close(np.abs(moved - x), 0 * x + EPS, atol=1e-6)

  def test_a_corner_is_never_worse_than_the_best_one(self):
    x, _ = _images()
    w = np.float32(np.random.default_rng(1).normal(size=(18, 1)))
    y = np.ones((12, 1), np.float32)
    fewer, more = (
        _linear(w)(_moved(_linear(w), x, y, attacks.random_signs(EPS, n)))
        for n in (1, 30))
    at_first = _linear(w)(x)
    assert (np.asarray(more) <= np.asarray(fewer)).all()
    assert (np.asarray(more) < np.asarray(at_first)).all()
    bound = at_first - EPS * np.abs(w).sum()
    assert (np.asarray(more) >= np.asarray(bound) - 1e-5).all()

  @parameterized.parameters((attacks.fgsm(EPS),), (attacks.pgd(EPS),),
                            (attacks.random_signs(EPS),))
  def test_stays_in_the_ball_and_in_the_bounds(self, attack):
    x, classes = _images(low=0.0, high=1.0)
    x[0, 0, 0, 0], x[1, 0, 0, 0] = -0.5, 1.4  # these may stay
    w = np.float32(np.random.default_rng(1).normal(size=(18, 3)))
    moved = _moved(_linear(w), x, np.eye(3, dtype=np.float32)[classes], attack)
    assert np.abs(moved - x).max() <= EPS + 1e-6
    assert (moved >= np.minimum(x, 0)).all()
    assert (moved <= np.maximum(x, 1)).all()
    assert ((moved == 0) | (moved == 1)).any()
    assert (moved != x).mean() > 0.9
    free = _moved(
        _linear(w),
        x,
        np.eye(3, dtype=np.float32)[classes],
        attack,
        bounds=(-np.inf, np.inf))
    assert ((free < 0) & (x >= 0)).any() and ((free > 1) & (x <= 1)).any()

  @parameterized.parameters((attacks.fgsm(EPS),), (attacks.pgd(EPS),),
                            (attacks.random_signs(EPS),))
  def test_what_lies_outside_moves_no_farther(self, attack):
    x, ones = np.float32([[-0.5, 1.4]]), np.ones((1, 1), np.float32)
    out, back = (
        _moved(_linear(w), x, ones, attack)
        for w in (np.float32([[1], [-1]]), np.float32([[-1], [1]])))
    np.testing.assert_allclose(out, x)
    np.testing.assert_allclose(back, [[-0.5 + EPS, 1.4 - EPS]], rtol=1e-5)

  def test_starts_at_random(self):
    x, classes = _images()
    still = _linear(np.zeros((18, 3), np.float32))  # no gradient
    labels = np.eye(3, dtype=np.float32)[classes]
    chex.assert_trees_all_equal(_moved(still, x, labels, attacks.fgsm(EPS)), x)
    started = _moved(still, x, labels, attacks.pgd(EPS, num_steps=1)) - x
    assert 0.9 * EPS < np.abs(started).max() <= EPS + 1e-6
    assert len(np.unique(started.round(5))) > 50

  @parameterized.parameters(
      (lambda: attacks.fgsm(0.0), "`eps` must be positive; got 0.0"),
      (lambda: attacks.pgd(0.1, 0), "`num_steps` must be a whole number of at"),
      (lambda: attacks.pgd("a"), "`eps` must be a number; got 'a'"),
      (lambda: attacks.pgd(0.1, 5, -1), "`step_size` must be positive; got -1"))
  def test_what_is_refused(self, make, message):
    with pytest.raises(ConfigError, match=message):
      make()

  @parameterized.parameters(
      (8, 10, "`eps` must be at most 1, as pixels are in .0, 1.; got 8. Usual"),
      (EPS, -1, "`num_attacked` must be a whole number of at least 0; got -1"),
      (EPS, 2.5, "`num_attacked` must be a whole number of at least 0; got 2"))
  def test_what_is_refused_of_a_split(self, eps, num_samples, message):
    x = np.random.default_rng(0).uniform(size=(8, 4, 4, 1)).astype(np.float32)
    source = data.from_arrays(x, np.arange(8) % 2)
    with pytest.raises(ConfigError, match=message):
      columns.check_attacked(source.test, eps, num_samples)


def _of_weights(weights):
  """A linear network of given weights [D, K]."""

  def init(key, example):
    del key, example
    return {"params": jnp.asarray(weights)}

  def apply(variables, x, *, key=None, train=False):
    del key, train
    return _linear(variables["params"])(x), variables

  return Network(init, apply, None)


class RightUnderTest(parameterized.TestCase):

  @parameterized.parameters((False,), (True,))
  def test_of_pixels_as_uint8_against_margins(self, encoded):
    """Right is who has a margin of more than eps |w|_1."""
    generator = np.random.default_rng(3)
    x = generator.integers(60, 200, (40, 2, 2, 1)).astype(np.uint8)
    y = np.arange(40) % 2
    source = data.from_arrays(x, y, x, y)
    std = np.asarray(source.preprocessing.std)
    w = np.float32(generator.normal(size=(4, 1)))
    logits = np.asarray(source.test.encode(source.test.inputs)).reshape(
        40, -1) @ w
    margin = np.where(y == 1, 1, -1) * logits[:, 0]
    network = _of_weights(w)
    if encoded:
      source = source.encoded()
    assert attacks.space_of(source.test).unit == "pixels"
    found = attacks.right_under(
        jax.random.key(0),
        network.init(None, None),
        source.test,
        jnp.arange(40),
        network=network,
        attack=attacks.pgd(EPS),
        rows=7)
    lost = EPS * np.abs(w).sum() / std
    assert 0 < (margin > lost).sum() < (margin > 0).sum()
    np.testing.assert_array_equal(found[:, 0], margin > 0)
    np.testing.assert_array_equal(found[:, 1], margin > lost)
    assert not np.asarray(found[:, 2]).any()

  def test_of_features_in_model_space(self):
    x = np.random.default_rng(0).normal(5.0, 30.0, (30, 4))
    y = (x[:, 0] > 5).astype(int)
    source = data.from_arrays(x, y, x, y)
    w = np.float32([[1.0], [0.5], [0.0], [0.0]])
    network = _of_weights(w)
    margin = np.where(y == 1, 1, -1) * (
        np.asarray(source.test.encode(source.test.inputs)) @ w)[:, 0]
    found = columns.under_attack(
        jax.random.key(0),
        jax.tree.map(lambda leaf: leaf[None], network.init(None, None)),
        source.test,
        network=network,
        eps=0.2,
        num_samples=0)
    assert found["unit"] == "model space" and found["num_samples"] == 30
    np.testing.assert_allclose(found["clean"]["mean"], (margin > 0).mean())
    for attack in ("fgsm", "pgd"):
      np.testing.assert_allclose(found[attack]["mean"], (margin > 0.3).mean())
    assert found["pgd"]["mean"] < found["clean"]["mean"]

  def test_a_gradient_of_zero_is_seen(self):
    """float32 cannot tell a probability of 1 - 1e-40 from 1."""
    x = np.float32([[1.0], [-1.0]])
    y = np.array([1, 0])
    source = data.from_arrays(np.tile(x, (5, 1)), np.tile(y, 5))
    networks = {"params": jnp.float32([[[500.0]], [[0.1]]])}
    found = columns.under_attack(
        jax.random.key(0),
        networks,
        source.train,
        network=_of_weights(None),
        eps=0.5)
    assert found["zero_gradient"]["per_network"] == [1.0, 0.0]


class NetworksTest(parameterized.TestCase):

  def test_are_those_of_the_evaluator(self):
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.eye(3)[y] + generator.normal(0, 0.6, (60, 3))
    source = data.from_arrays(x, y, x, y)
    made = artifact.from_samples(
        np.asarray(source.train.encode(source.train.inputs))[:3],
        source.train.labels[:3],
        class_names=source.class_names,
        preprocessing=source.preprocessing,
        recipe=converged(20, step_size=0.1).spec)
    network = nn.mlp(3, widths=(4,))
    key = jax.random.key(1)
    networks = networks_of(key, made, network=network, num_networks=3)
    report = evaluate_set(
        key, made, source.test, network=network, num_networks=3)
    found = columns.under_attack(
        key, networks, source.test, network=network, eps=0.1, num_samples=0)
    np.testing.assert_allclose(found["clean"]["per_network"], report.accuracy)
    assert len(set(report.accuracy)) > 1
    fixed = made._replace(
        initial=jax.device_get(network.init(key, source.example)))
    (one,) = columns.each(
        networks_of(key, fixed, network=network, num_networks=3))
    expected = evaluate_set(key, fixed, source.test, network=network)
    found = columns.under_attack(
        key,
        jax.tree.map(lambda leaf: leaf[None], one),
        source.test,
        network=network)
    np.testing.assert_allclose(found["clean"]["mean"], expected.mean)


class CalibrationTest(parameterized.TestCase):

  def test_by_hand(self):
    """Confidences 0.9, 0.9, 0.6 and 0.52: two bins of 15 have one each."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.48, 0.52]])
    classes = np.array([0, 1, 0, 0])
    expected = (abs(2 * 0.9 - 1) + abs(0.6 - 1) + abs(0.52 - 0)) / 4
    found = calibration.expected_calibration_error(np.log(p), classes)
    np.testing.assert_allclose(found, expected)
    one = calibration.expected_calibration_error(np.log(p), classes, num_bins=1)
    np.testing.assert_allclose(one, abs(0.9 + 0.9 + 0.6 + 0.52 - 2) / 4)
    nll = calibration.negative_log_likelihood(np.log(p), classes)
    np.testing.assert_allclose(nll, -np.log([0.9, 0.1, 0.6, 0.48]).mean())

  def test_one_logit_is_of_two_classes(self):
    logits, classes = np.array([[2.0], [-0.3], [0.7]]), np.array([1, 1, 0])
    both = np.concatenate([0 * logits, logits], 1)
    for measure in (calibration.expected_calibration_error,
                    calibration.negative_log_likelihood):
      np.testing.assert_allclose(
          measure(logits, classes), measure(both + 5.0, classes))
    p = 1 / (1 + np.exp(-logits[:, 0]))
    np.testing.assert_allclose(
        calibration.negative_log_likelihood(logits, classes),
        -np.log([p[0], p[1], 1 - p[2]]).mean())

  def test_bins_are_closed_above(self):
    logits = np.array([[0.0, 0.0], [np.log(9), 0.0]])
    found = calibration.expected_calibration_error(
        logits, np.array([0, 1]), num_bins=2)
    np.testing.assert_allclose(found, (abs(0.5 - 1) + abs(0.9 - 0)) / 2)

  def test_not_finite(self):
    logits = [np.eye(2), np.full((2, 2), np.nan)]
    found = columns.calibrated(logits, np.arange(2))
    assert found["nll"]["per_network"][1] is None
    np.testing.assert_allclose(found["nll"]["mean"], np.log(1 + np.exp(-1)))
    assert columns.calibrated(logits[1:], np.arange(2))["ece"]["mean"] is None

  @parameterized.parameters(
      ([[0], [1]], "must be .N, K. and `classes` .N., of one sample or more"),
      ([0], "must be .N, K. and `classes`"), ([0, 3], "must be 0 to 2; got 0"),
      ([-1, 0], "must be 0 to 2; got -1 to 0"))
  def test_refuses_classes_that_would_be_broadcast(self, classes, message):
    for measure in (calibration.expected_calibration_error,
                    calibration.negative_log_likelihood):
      with self.assertRaisesRegex(ValueError, message):
        measure(np.zeros((2, 3)), np.array(classes))
