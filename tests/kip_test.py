"""KIP, label solve, and what regression on centred labels asks of the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized

from distill_jax import augmentation, data, initialisation, nn
from distill_jax.artifact import from_samples, to_artifact
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation import evaluate_set, run_baselines
from distill_jax.evaluation.learners import (
    kernel_ridge,
    nearest_neighbours,
    student,
)
from distill_jax.evaluation.recipes import dsa, frepo, from_spec, kip, rat_bptt
from distill_jax.kernels import closed_form
from distill_jax.labels import (
    centred_rows,
    classes_of_labels,
    squared_error,
    uncentred,
)
from distill_jax.objectives.kip import kernel_regression, label_solve
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Batch, Distilled, Samples

KERNEL = closed_form.fully_connected(1)
TRAIN, SIZE, CLASSES = 60, 8, 4


def linear(x1, x2):
  return x1.reshape(len(x1), -1) @ x2.reshape(len(x2), -1).T


def source(num_classes=CLASSES, noise=0.7):
  """Blurred class images with noise."""
  generator = np.random.default_rng(0)
  means = generator.normal(size=(num_classes, 4, 4, 1))
  y = np.arange(TRAIN) % num_classes
  x = means[y] + noise * generator.normal(size=(TRAIN, 4, 4, 1))
  return data.from_arrays(np.float32(x), y, np.float32(x[::2]), y[::2])


def wrap(inputs, labels, data_source=None, **settings):
  """An artifact, centred by default."""
  data_source = data_source or source()
  return from_samples(
      inputs,
      labels,
      class_names=data_source.class_names,
      preprocessing=data_source.preprocessing,
      **dict(label_space="centred", recipe=dict(name="kip")) | settings)


def start(num_classes=CLASSES, size=SIZE, dtype=jnp.float32):
  generator = np.random.default_rng(1)
  classes = np.arange(size) % num_classes
  return Distilled(
      jnp.asarray(generator.normal(size=(size, 4, 4, 1)), dtype),
      centred_rows(classes, num_classes, dtype), jnp.zeros((0,)))


def batch(num_classes=CLASSES):
  generator = np.random.default_rng(2)
  return Batch(
      jnp.asarray(generator.normal(size=(10, 4, 4, 1))),
      jnp.arange(10) % num_classes)


def objective(num_classes=CLASSES, kernel_fn=KERNEL, **settings):
  return kernel_regression(
      kernel_fn, sample=data.mixed(20), num_classes=num_classes, **settings)


class ObjectiveTest(parameterized.TestCase):

  @parameterized.parameters(CLASSES, 2)
  def test_the_loss_by_hand(self, num_classes):
    with jax.enable_x64(True):
      set_, real = start(num_classes, dtype=jnp.float64), batch(num_classes)
      value, ((), metrics) = jax.jit(objective(num_classes, ridge=0.01).loss)(
          jax.random.key(0), Samples(*set_), (), real)
      gram = np.asarray(KERNEL(set_.codes, set_.codes))
      cross = np.asarray(KERNEL(real.inputs, set_.codes))
      gram = gram + 0.01 * np.trace(gram) / SIZE * np.eye(SIZE)
      found = cross @ np.linalg.solve(gram, np.asarray(set_.labels))
      classes = np.asarray(real.labels)
      if num_classes == 2:
        wanted, said = classes[:, None] - 0.5, found[:, 0] > 0
      else:
        wanted, said = np.eye(CLASSES)[classes] - 0.25, found.argmax(1)
      np.testing.assert_allclose(value, np.square(found - wanted).mean() / 2)
      assert metrics["accuracy"] == (said == classes).mean()

  def test_gradients_by_finite_differences(self):
    with jax.enable_x64(True):
      set_, real = start(dtype=jnp.float64), batch()

      @jax.jit
      def loss(codes, labels):
        samples = Samples(codes, labels, jnp.zeros(0))
        return objective(ridge=0.01).loss(jax.random.key(0), samples, (),
                                          real)[0]

      jax.test_util.check_grads(
          loss, (set_.codes, set_.labels),
          order=1,
          modes=["rev"],
          rtol=1e-5,
          atol=1e-7)

  def test_the_order_of_samples_and_targets_does_not_matter(self):
    set_, real = start(), batch()
    loss = jax.jit(objective(ridge=0.01).loss)
    samples = Samples(*set_)
    moved = jax.tree.map(lambda leaf: leaf[::-1], (samples, real))
    np.testing.assert_allclose(
        loss(jax.random.key(0), samples, (), real)[0],
        loss(jax.random.key(0), moved[0], (), moved[1])[0],
        rtol=1e-5)

  def test_a_set_that_is_the_targets_has_no_loss(self):
    real = batch()
    samples = Samples(
        jnp.float32(real.inputs), centred_rows(real.labels, CLASSES),
        jnp.zeros(0))
    value, (_, metrics) = jax.jit(objective(ridge=1e-5).loss)(
        jax.random.key(0), samples, (), real)
    assert value < 1e-5 and metrics["accuracy"] == 1

  def test_targets_are_augmented(self):
    loss = jax.jit(objective(augmentation=augmentation.dsa("crop_rotate")).loss)
    samples = Samples(*start())
    first, second = (
        loss(jax.random.key(i), samples, (), batch())[0] for i in (0, 1))
    assert first != second

  @parameterized.parameters(True, False)
  def test_a_run_lowers_the_loss(self, learn_labels):
    data_source = source()
    rules = dict(codes=optax.adam(0.05))
    if learn_labels:
      rules["labels"] = optax.adam(0.02)
    loop = distiller(backprop(objective(), pixels()), learn(**rules))
    begun = start()
    state = loop.init(jax.random.key(0), begun)
    state, info = distill(
        jax.random.key(1),
        state,
        data_source.train,
        step=loop.step,
        num_steps=40)
    assert info.loss[-5:].mean() < 0.7 * info.loss[:5].mean()
    same = np.array_equal(state.distilled.labels, begun.labels)
    assert same is not learn_labels

  def test_what_is_refused(self):
    with pytest.raises(ValueError, match="`ridge` must be positive; got 0"):
      objective(ridge=0)


class LabelSolveTest(parameterized.TestCase):

  @parameterized.parameters((7, CLASSES), (1_000, CLASSES), (13, 2))
  def test_equals_the_least_squares_of_all_targets(self, rows, num_classes):
    with jax.enable_x64(True):
      split = source(num_classes).train
      inputs = start(dtype=jnp.float64).codes
      found = label_solve(
          KERNEL, inputs, split, ridge=1e-3, label_ridge=1e-14, rows=rows)
      gram = np.asarray(KERNEL(inputs, inputs))
      cross = np.asarray(
          KERNEL(split.encode(split.inputs).astype(float), inputs))
      gram = gram + 1e-3 * np.trace(gram) / SIZE * np.eye(SIZE)
      wanted = centred_rows(split.labels, num_classes, float)
      by_hand = np.linalg.lstsq(
          cross @ np.linalg.inv(gram), np.asarray(wanted), rcond=None)[0]
      np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-8)

  def test_labels_beat_hard_ones(self):
    data_source = source(noise=2.0)
    inputs = data_source.train.inputs[:SIZE]
    classes = np.asarray(data_source.train.labels[:SIZE])

    def accuracy(labels):
      artifact = wrap(inputs, labels, data_source)
      return evaluate_set(
          jax.random.key(0),
          artifact,
          data_source.train,
          learner=kernel_ridge(KERNEL)).mean

    solved = label_solve(KERNEL, inputs, data_source.train)
    assert accuracy(solved) > accuracy(centred_rows(classes, CLASSES)) + 0.05

  def test_what_is_refused(self):
    with pytest.raises(ValueError, match="`rows` must be positive; got .* 0"):
      label_solve(KERNEL, start().codes, source().train, rows=0)


class LearnersTest(parameterized.TestCase):

  def artifact(self, num_classes=CLASSES, **settings):
    set_ = start(num_classes)
    return wrap(set_.codes, set_.labels, source(num_classes), **settings)

  @parameterized.parameters(CLASSES, 2)
  def test_kernel_ridge_by_hand(self, num_classes):
    artifact = self.artifact(num_classes)
    split = source(num_classes).test
    report = evaluate_set(
        jax.random.key(0),
        artifact,
        split,
        learner=kernel_ridge(linear, ridge=0.1))
    x, z = np.float64(artifact.inputs.reshape(SIZE, -1)), split.encode(
        split.inputs).reshape(split.num_samples, -1)
    gram = x @ x.T
    gram += 0.1 * np.trace(gram) / SIZE * np.eye(SIZE)
    said = np.asarray(z) @ x.T @ np.linalg.solve(gram, artifact.labels)
    said = said.argmax(1) if num_classes > 2 else said[:, 0] > 0
    assert report.mean == pytest.approx(np.mean(said == split.labels))
    assert report.accuracy_on_set[0] == pytest.approx(1, abs=0.3)
    assert report.num_networks == 1
    assert report.recipe == dict(name="kernel_ridge", ridge=0.1)

  def test_the_wrong_loss_is_an_error(self):
    split, network = source().test, nn.mlp(CLASSES, widths=())
    key, centred = jax.random.key(0), self.artifact()
    with pytest.raises(ValueError, match="must not have centred labels"):
      evaluate_set(key, centred, split, learner=student(network, dsa(1)))
    raw = centred._replace(label_space="raw")
    for learner in (kernel_ridge(KERNEL), student(network, kip(1))):
      with pytest.raises(ValueError, match="must have centred labels; .* raw"):
        evaluate_set(key, raw, split, learner=learner)
    trained = self.artifact(recipe=dict(name="kip", num_steps=3))
    report = evaluate_set(key, trained, split, network=network, num_networks=2)
    assert report.recipe["name"] == "kip"

  def test_neighbours_read_centred_labels_of_two_classes(self):
    artifact = self.artifact(2)
    report = evaluate_set(
        jax.random.key(0),
        artifact,
        source(2).test,
        learner=nearest_neighbours())
    assert report.accuracy_on_set[0] == 1

  def test_regimes(self):
    assert self.artifact().label_regime == "hard"
    assert self.artifact(2).label_regime == "hard"
    soft = self.artifact()
    soft = wrap(soft.inputs, 0.5 * soft.labels)
    assert soft.label_regime == "soft_fixed"

  def test_baselines_of_a_kernel_have_centred_labels(self):
    data_source = source()
    results = run_baselines(
        jax.random.key(0),
        self.artifact(),
        data_source,
        learner=kernel_ridge(KERNEL),
        num_sets=2,
        networks_per_set=1)
    assert "random_real_converged" not in results
    assert results["random_real"].mean > 0.5
    assert results["random_real"].accuracy.shape == (2, 1)
    with pytest.raises(ValueError, match="`names` must be among random_real,"):
      run_baselines(
          jax.random.key(0),
          self.artifact(),
          data_source,
          learner=kernel_ridge(KERNEL),
          names=("random_real_converged",))
    with pytest.raises(ValueError, match="exactly one of `learner` and"):
      run_baselines(jax.random.key(0), self.artifact(), data_source)

  def test_a_set_that_was_distilled(self):
    data_source = source()
    estimator = backprop(objective(), pixels())
    artifact = to_artifact(
        estimator,
        start(),
        data_source,
        method="kip",
        order=np.arange(SIZE)[None],
        recipe=dict(name="kip"),
        label_space="centred")
    assert artifact.label_regime == "hard"


class LabelsTest(parameterized.TestCase):

  @parameterized.parameters(2, 3)
  def test_centred_rows(self, num_classes):
    classes = jnp.arange(num_classes)
    rows = centred_rows(classes, num_classes)
    both = jnp.concatenate([-rows, rows], 1) if num_classes == 2 else rows
    np.testing.assert_allclose(both.sum(1), 0, atol=1e-6)
    np.testing.assert_array_equal(classes_of_labels(uncentred(rows)), classes)

  def test_squared_error(self):
    outputs = jnp.array([[1.0, 2.0], [0.0, 0.0]])
    labels = jnp.array([[0.0, 2.0], [2.0, 2.0]])
    assert squared_error(outputs, labels) == (1 + 8) / 4
    assert squared_error(outputs, labels, target_scale=2.0) == (1 + 4 + 32) / 4
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(2,\)"):
      squared_error(outputs, labels[0])


class UpdatesTest(parameterized.TestCase):
  """Recipes that count updates, by a literal loop."""

  @parameterized.parameters((
      kip(4, step_size=0.1),
      optax.chain(
          optax.add_decayed_weights(1e-3),
          optax.sgd(optax.cosine_decay_schedule(0.1, 4), 0.9))), (
              frepo(4, step_size=0.1, warm_up=2),
              optax.adam(lambda t: jnp.array([0.05, 0.075, 0.1, 0.0505])[t])), (
                  frepo(4, step_size=0.1, warm_up=0, target_scale=3.0),
                  optax.adam(optax.cosine_decay_schedule(0.1, 4, 0.01)), 3.0),
                            (rat_bptt(4, step_size=0.1), optax.adam(0.1)))
  def test_follows_its_optimizer(self, recipe, optimizer, target_scale=1.0):
    network = nn.mlp(CLASSES, widths=())
    set_ = start()
    artifact = wrap(set_.codes, set_.labels)
    x, y = artifact.training_set.samples[:2]
    variables = network.init(jax.random.key(0), x)

    def loss(params):
      outputs = network.apply({"params": params}, x)[0]
      if recipe.regression:
        return 0.5 * jnp.square(outputs - target_scale * y).sum() / SIZE
      return -(y * jax.nn.log_softmax(outputs)).sum() / SIZE

    params = variables["params"]
    state = optimizer.init(params)
    for _ in range(4):
      change, state = optimizer.update(jax.grad(loss)(params), state, params)
      params = optax.apply_updates(params, change)
    found = recipe.train(
        jax.random.key(1), network, variables, artifact.training_set)["params"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found, params)

  def test_batches_of_a_larger_set(self):
    network = nn.mlp(CLASSES, widths=())
    set_ = start()
    artifact = wrap(set_.codes, set_.labels)
    variables = network.init(jax.random.key(0), set_.codes)
    whole, part = (
        kip(3, batch_size=size).train(
            jax.random.key(1), network, variables, artifact.training_set)
        for size in (SIZE, 2))
    first, second = (jax.tree.leaves(v)[0] for v in (whole, part))
    assert not np.allclose(first, second)

  def test_documents(self):
    for make in (frepo, kip, rat_bptt):
      recipe = make(7)
      again = from_spec(recipe.spec)
      assert again.spec == recipe.spec
    with pytest.raises(ValueError, match="`num_steps` and `batch_size`"):
      kip(0)
    with pytest.raises(ValueError, match="`step_size` must be positive"):
      frepo(step_size=0)
    with pytest.raises(ValueError, match="`target_scale` must be positive"):
      frepo(target_scale=0)


class StartTest(absltest.TestCase):

  def test_start_classes_go_with_centred_rows(self):
    classes = initialisation.start_classes(20, 1, 10)
    rows = np.asarray(centred_rows(classes, 10))
    np.testing.assert_array_equal(rows.argmax(1), classes)


if __name__ == "__main__":
  absltest.main()
