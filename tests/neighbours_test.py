"""Soft-label neighbours: by hand, against hard ones, two for three classes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_iris

from distill_jax import artifact, evaluate_set, initialisation
from distill_jax.data import from_arrays, sampling
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation.learners import (
    nearest_neighbours,
    soft_nearest_neighbours,
)
from distill_jax.initialisation import step_order
from distill_jax.labels import num_outputs
from distill_jax.neighbours import soft_predictions
from distill_jax.objectives.soft_neighbours import soft_neighbours
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Samples


def test_by_hand():
  """Distances 1, 3 and 4; two nearest: weights 3/4 and 1/4."""
  points = jnp.array([[0.0], [4.0], [5.0]])
  labels = jnp.array([[1.0, 0.0], [0.2, 0.8], [0.0, 1.0]])
  found = soft_predictions(jnp.array([[1.0]]), points, labels, 2)
  np.testing.assert_allclose(found, [[0.75 + 0.05, 0.2]], rtol=1e-6)
  on_it = soft_predictions(points[1:2], points, labels, 3)
  np.testing.assert_allclose(on_it, labels[1:2], atol=1e-5)


def test_hard_labels_and_one_neighbour_are_nearest_neighbours():
  generator = np.random.default_rng(0)
  points = generator.normal(size=(9, 4)).astype(np.float32)
  made = artifact.from_samples(points, np.arange(9) % 3, class_names=[*"abc"])
  x = jnp.asarray(generator.normal(size=(50, 4)), jnp.float32)
  one, other = (
      learner(1).fit(None, made.training_set)(x)
      for learner in (nearest_neighbours, soft_nearest_neighbours))
  np.testing.assert_array_equal(one, other)


def test_gradients_against_finite_differences():
  with jax.enable_x64(True):
    generator = np.random.default_rng(1)
    batch = Batch(
        jnp.asarray(generator.normal(size=(6, 3))),
        jnp.asarray(generator.integers(0, 3, 6)))
    objective = soft_neighbours(sample=sampling.mixed(6), num_classes=3, k=2)

    def loss(points, labels):
      samples = Samples(points, labels, jnp.zeros(0))
      return objective.loss(None, samples, (), batch)[0]

    arrays = [jnp.asarray(generator.normal(size=(4, 3))) for _ in range(2)]
    gradients = jax.grad(loss, (0, 1))(*arrays)
    for i in range(2):
      for index in np.ndindex(4, 3):
        step = jnp.zeros((4, 3)).at[index].set(1e-6)
        ends = []
        for sign in (1, -1):
          moved = list(arrays)
          moved[i] = arrays[i] + sign * step
          ends.append(loss(*moved))
        slope = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(
            gradients[i][index], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("classes", [3, 2])
def test_two_prototypes_separate_flowers(classes):
  x, y = load_iris(return_X_y=True)
  x, y = x[y < classes, 2:], y[y < classes]
  source = from_arrays(x, y, x, y)
  objective = soft_neighbours(
      sample=sampling.mixed(len(x)), num_classes=classes, k=2)
  estimator = backprop(objective, pixels())
  outer = distiller(
      estimator, learn(codes=optax.adam(0.05), labels=optax.adam(0.05)))
  k_start, k_init, k_run = jax.random.split(jax.random.key(0), 3)
  ends = source.train.encode(source.train.inputs)[jnp.array([0, -1])]
  start = initialisation.start(
      k_start,
      ends,
      jnp.zeros((2, num_outputs(classes))),
      pixels(),
      step_size=None,
      num_inner_steps=0)
  state, _ = distill(
      k_run,
      outer.init(k_init, start),
      source.train,
      step=outer.step,
      num_steps=600)
  made = artifact.to_artifact(
      estimator,
      outer.result(state),
      source,
      method="soft_neighbours",
      order=step_order(2, 1),
      label_space="logits")
  report = evaluate_set(
      k_run, made, source.test, learner=soft_nearest_neighbours(2))
  assert report.num_networks == 1 and report.mean > 0.93


def test_what_is_refused():
  with pytest.raises(ValueError, match=r"1\.\.2"):
    soft_predictions(jnp.ones((1, 2)), jnp.ones((2, 2)), jnp.ones((2, 2)), 3)
  for make in (
      soft_nearest_neighbours,
      lambda k: soft_neighbours(sample=sampling.mixed(1), num_classes=2, k=k)):
    with pytest.raises(ValueError, match="`k` must be at least 1"):
      make(0)
  objective = soft_neighbours(sample=sampling.mixed(1), num_classes=2, k=1)
  with pytest.raises(ValueError, match="`labels` must have 1 columns"):
    objective.loss(
        None, Samples(jnp.ones((2, 2)), jnp.eye(2), jnp.zeros(0)), (),
        Batch(jnp.ones((1, 2)), jnp.zeros(1, int)))
  with pytest.raises(ValueError, match="`temperature`"):
    soft_neighbours(
        sample=sampling.mixed(1), num_classes=2, k=1, temperature=0.0)
