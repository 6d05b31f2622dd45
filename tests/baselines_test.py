"""Baselines: their rows carry their own labels; layout, choice, results."""

import warnings
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from distill_jax import selection
from distill_jax.data import from_arrays
from distill_jax.evaluation import baselines
from distill_jax.evaluation.evaluator import evaluate_each
from distill_jax.evaluation.learners import nearest_neighbours
from distill_jax.initialisation import start_classes, step_order
from distill_jax.nn import mlp
from distill_jax.types import Samples, TrainingSet

K = 4
CENTRES = np.array([[9, 9], [9, -9], [-9, 9], [-9, -9]], np.float32)
NETWORK = mlp(K, widths=())


def _source(size=60, validation_fraction=0.2):
  generator = np.random.default_rng(0)
  labels = generator.permutation(np.arange(size) % K)
  x = CENTRES[labels] + generator.normal(0, 1, (size, 2)).astype(np.float32)
  return from_arrays(
      x, labels, x, labels, validation_fraction=validation_fraction)


SOURCE = _source()


def _set(num_samples=8, num_steps=2, initial=(), epochs=2):
  order = step_order(num_samples, num_steps)
  samples = Samples(
      jnp.zeros((num_samples, 2)), jnp.zeros((num_samples, K)),
      jnp.full(epochs * num_steps, 0.1))
  return TrainingSet(samples, order, initial)


def _build(name, classes):
  key = jax.random.key(0)
  if name == "class_mean":
    return selection.class_mean(SOURCE.train, classes)
  build = {"random_real": selection.random_real, "kmeans": selection.kmeans}
  return build[name](key, SOURCE.train, classes, 3)


class BuildersTest(parameterized.TestCase):

  @parameterized.product(
      name=("random_real", "class_mean", "kmeans"), layout=((12, 2), (6, 3)))
  def test_rows_are_of_the_class_they_are_labelled(self, name, layout):
    training_set = _set(*layout)
    classes = baselines.classes_along(training_set.order, K)
    inputs = _build(name, classes)
    sets = baselines.labelled(training_set, inputs, classes, K, 0.3)
    labels = np.asarray(sets.samples.labels).argmax(-1)
    # The sign of both coordinates tells the class.
    true = (inputs[..., 0] < 0) * 2 + (inputs[..., 1] < 0)
    np.testing.assert_array_equal(true, labels)
    one = training_set._replace(
        samples=jax.tree.map(lambda leaf: leaf[0], sets.samples))
    predict = nearest_neighbours().fit(jax.random.key(0), one)
    np.testing.assert_array_equal(predict(one.samples.inputs), labels[0])
    np.testing.assert_allclose(sets.samples.step_sizes, 0.3)

  @parameterized.parameters((8, 1), (8, 2), (16, 2), (6, 3), (3, 1))
  def test_classes_are_the_start_classes(self, num_samples, num_steps):
    np.testing.assert_array_equal(
        baselines.classes_along(step_order(num_samples, num_steps), K),
        start_classes(num_samples, num_steps, K))

  def test_classes_follow_the_order(self):
    order = np.array([[3, 1], [0, 2]])
    np.testing.assert_array_equal(
        baselines.classes_along(order, K), [2, 1, 3, 0])

  def test_unbalanced_steps_are_nearly_balanced(self):
    classes = baselines.classes_along(step_order(12, 2), K)
    np.testing.assert_array_equal(classes, [0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 3, 3])

  def test_random_rows_are_real_distinct_and_new_in_each_set(self):
    classes = np.repeat(np.arange(K), 3)
    inputs = np.asarray(_build("random_real", classes))
    real = np.asarray(SOURCE.train.encode(SOURCE.train.inputs))
    distance = np.abs(inputs[:, :, None] - real).max(-1)
    assert (distance.min(-1) < 1e-6).all()
    for rows in distance.argmin(-1):
      assert len(set(rows)) == len(classes)
    assert not np.array_equal(inputs[0], inputs[1])

  def test_a_class_that_is_used_up_starts_again(self):
    rows = [0, 0, 1, 2, 3]
    source = from_arrays(CENTRES[rows], rows, test_fraction=0)
    classes = np.array([0, 0, 0, 1, 1])
    inputs = selection.random_real(jax.random.key(0), source.train, classes, 1)
    np.testing.assert_array_equal(inputs[0, 3], inputs[0, 4])
    assert (inputs[0, 3] != inputs[0, 0]).any()

  def test_means_and_centroids(self):
    classes = np.arange(K)
    mean = selection.class_mean(SOURCE.train, classes)
    x = np.asarray(SOURCE.train.encode(SOURCE.train.inputs))
    labels = np.asarray(SOURCE.train.labels)
    np.testing.assert_allclose(mean[0, 2], x[labels == 2].mean(0), rtol=1e-5)
    chex.assert_trees_all_close(_build("kmeans", classes), mean)
    twice = np.repeat(classes, 2)
    centroids = np.asarray(_build("kmeans", twice))
    chex.assert_shape(centroids, (3, 8, 2))
    for c in range(K):  # a centroid is the mean of what is nearest to it
      own, points = centroids[0, twice == c], x[labels == c]
      nearest = ((points[:, None] - own)**2).sum(-1).argmin(1)
      for i in range(2):
        np.testing.assert_allclose(
            own[i], points[nearest == i].mean(0), rtol=1e-4)

  def test_fewer_distinct_points_than_centroids(self):
    source = from_arrays(
        np.repeat(CENTRES, 5, 0), np.repeat(np.arange(K), 5), test_fraction=0)
    classes = np.repeat(np.arange(K), 3)
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      inputs = selection.kmeans(jax.random.key(0), source.train, classes, 2)
    expected = source.train.encode(CENTRES[classes])
    np.testing.assert_allclose(inputs[1], expected, rtol=1e-5)


class RunTest(parameterized.TestCase):

  def _run(self, training_set, *names, source=SOURCE, **settings):
    settings = {
        "num_sets": 2,
        "networks_per_set": 2,
        "num_candidates": 10,
        "step_sizes": (1e-4, 0.3),
        **settings
    }
    return baselines.run_baselines(
        jax.random.key(0),
        training_set,
        source,
        network=NETWORK,
        names=names or None,
        **settings)

  def test_the_others(self):
    names = [n for n in baselines.possible() if n != "optimised_real"]
    results = self._run(_set(epochs=10), *names)
    shapes = {name: r.accuracy.shape for name, r in results.items()}
    assert shapes == {
        "random_real": (2, 2),
        "class_mean": (1, 4),
        "kmeans": (2, 2),
        "knn_random": (2, 1),
        "knn_kmeans": (2, 1),
        "byte_matched_real": (2, 2),
        "random_real_converged": (2, 2)
    }
    for name in ("random_real", "class_mean", "kmeans"):
      # 1e-4 is too small to learn anything in 20 steps.
      assert results[name].step_size == 0.3
      assert results[name].selected_on == "validation"
      assert results[name].mean > 0.8
    assert results["knn_kmeans"].mean == 1
    assert results["knn_kmeans"].step_size is None
    assert results["random_real_converged"].step_size == 0.01
    # 4 (2 + 4) bytes for each of 8 samples; a real one takes 8 + 1: 21 -> 20.
    assert results["byte_matched_real"].num_samples == 20

  def test_step_sizes_are_chosen_with_the_networks_that_are_evaluated(self):
    keys = []

    def recorded(key, *args, **settings):
      keys.append(jax.random.key_data(key).tolist())
      return evaluate_each(key, *args, **settings)

    with mock.patch.object(baselines, "evaluate_each", recorded):
      self._run(_set(epochs=1), "random_real")
    assert len(keys) == 3  # two step sizes, then the result
    assert len(set(map(tuple, keys))) == 1

  @parameterized.parameters(((3, 4, 4, 4, 1), (), 2), ((4, 4, 1, 1, 1), (), 1),
                            ((4, 1, 1, 1, 4), (), 4), ((1, 2, 3, 4, 1), (), 3),
                            ((4, 4, 4, 4, 4), (1, 2, 3, 4), 0),
                            ((0, 0, 4, 4, 4), (2, 3, 4), 1),
                            ((1, 3, 2, 2, 2), (0, 1, 2, 3, 4), 1))
  def test_of_equal_step_sizes_the_middle_one_is_taken(
      self, right, diverging, chosen):
    step_sizes = (0.001, 0.01, 0.1, 0.3, 1.0)

    def evaluated(key, sets, split, *, learner, num_networks, **progress):
      del key, split, learner, progress
      i = step_sizes.index(round(float(sets.samples.step_sizes[0, 0]), 4))
      wrong = 4 - right[i]
      confusion = np.array([[right[i], wrong], [0, 0]])
      shape = (len(sets.samples.inputs), num_networks)
      return (
          np.tile(confusion, (*shape, 1, 1)), np.full(shape, i in diverging))

    with mock.patch.object(baselines, "evaluate_each", evaluated):
      results = self._run(_set(epochs=1), "random_real", step_sizes=step_sizes)
    assert results["random_real"].step_size == step_sizes[chosen]

  @parameterized.parameters((5, 2, False, 2 * 10),
                            (5, 2, True, 2 * (10 + 7 * 5 * 2)),
                            (1, 1, True, 2 * (1 + 7)))
  def test_networks_of_baselines(self, num_sets, each, steps, expected):
    names = "random_real", "knn_random", "class_mean"
    assert expected == baselines.networks_of(
        names, num_sets=num_sets, networks_per_set=each, with_step_sizes=steps)

  def test_a_set_is_compared_with_as_many_samples_as_it_stores(self):
    results = self._run(_set(epochs=2), "random_real", num_samples=4)
    assert results["random_real"].num_samples == 4

  def test_fixed_initialisation_and_few_samples(self):
    initial = NETWORK.init(jax.random.key(1), jnp.zeros((1, 2)))
    results = self._run(
        _set(2, 1, initial),
        "class_mean",
        "knn_random",
        source=_source(validation_fraction=0.0))
    assert results["class_mean"].accuracy.shape == (1, 1)
    assert results["class_mean"].selected_on == "train"
    assert results["class_mean"].num_classes == 2
    np.testing.assert_allclose(results["knn_random"].mean, 0.5, atol=0.01)

  def test_a_set_without_step_sizes_brings_its_recipe(self):

    class Artifact:
      training_set = _set(4, 1, epochs=0)
      recipe = {"name": "converged", "num_steps": 20, "step_size": 0.5}

    result = self._run(Artifact(), "class_mean")["class_mean"]
    assert result.learner == "student, converged" and result.mean == 1
    assert result.step_size is None and result.selected_on is None

  def test_optimised_keeps_what_does_best_on_train(self):
    # Some of class 0 lie among class 3: sets that drew one do badly.
    labels = np.repeat(np.arange(K), 10)
    x = CENTRES[labels] + np.arange(40)[:, None] % 10 / 10
    x[:5] = CENTRES[3]
    source = from_arrays(x, labels, x, labels)
    results = self._run(
        _set(4, 1, epochs=30),
        "random_real",
        "optimised_real",
        source=source,
        num_sets=6,
        num_candidates=30)
    assert results["optimised_real"].accuracy.shape == (6, 2)
    assert results["optimised_real"].accuracy.min() == 0.875
    assert results["random_real"].accuracy.min() < 0.8

  def test_bytes(self):
    images = np.zeros((4, 3, 3, 2), np.uint8)
    images[1:] += np.arange(3, dtype=np.uint8)[:, None, None, None]
    source = from_arrays(images, np.arange(4), test_fraction=0)
    # A float32 set of 10: 4 (18 + 4) bytes a sample; a real one 18 + 1.
    assert baselines._affordable(source.train, K, 880) == 880 // 19
    assert baselines._affordable(source.encoded().train, K, 880) == 880 // 19

  def test_unknown_name(self):
    with pytest.raises(ValueError, match=r"`names` must be among .*'best'"):
      self._run(_set(), "best")
