"""Experts: GSAM's formula, training by hand, files, feeds, DATM's start."""

import os
import tempfile
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy
from absl.testing import absltest, parameterized

from distill_jax import storage
from distill_jax.data import from_arrays
from distill_jax.errors import WorkdirError
from distill_jax.flatness import flat_minima
from distill_jax.inner_loop import train_epoch_on
from distill_jax.labels import cross_entropy, label_rows
from distill_jax.nn import mlp, vector
from distill_jax.objectives import datm
from distill_jax.parameterization.pixels import pixels
from distill_jax.trajectories import agreement, buffer
from distill_jax.trajectories.experts import Expert, train_experts
from distill_jax.trajectories.feed import Feed
from distill_jax.types import Distilled, Network

NETWORK = mlp(3, widths=(5,))


def source(size=60):
  generator = np.random.default_rng(0)
  labels = np.arange(size) % 3
  means = generator.normal(size=(3, 8))
  inputs = means[labels] + 0.3 * generator.normal(size=(size, 8))
  return from_arrays(inputs.astype(np.float32), labels, test_fraction=0)


def shapes():
  key = jax.random.key(0)
  return jax.eval_shape(NETWORK.init, key, source().example)["params"]


@cache
def experts(num=2, **settings):
  settings = dict(num_epochs=3, batch_size=20, step_size=1.0) | settings
  data = source()
  return train_experts(
      jax.random.split(jax.random.key(1), num),
      NETWORK,
      data.train,
      held_out=data.train,
      **settings)


class FlatnessTest(parameterized.TestCase):

  @parameterized.parameters((0.0, True), (0.3, True), (0.3, False))
  def test_direction_is_that_of_the_formula(self, gap, adaptive):
    """float64 NumPy, on a quadratic whose gradient is known."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(4, 4))
    matrix = matrix @ matrix.T
    theta = generator.normal(size=4)

    def loss(params):
      whole = jnp.concatenate([params["a"], params["b"]])
      return whole @ matrix @ whole / 2, "aux"

    with jax.enable_x64(True):
      params = {"a": jnp.asarray(theta[:1]), "b": jnp.asarray(theta[1:])}
      rule = flat_minima(0.05, surrogate_gap=gap, adaptive=adaptive)
      (value, aux), found = rule(jax.value_and_grad(loss, has_aux=True), params)
    g = matrix @ theta
    if adaptive:
      e = 0.05 * theta**2 * g / np.linalg.norm(np.abs(theta) * g)
    else:
      e = 0.05 * g / np.linalg.norm(g)
    there = matrix @ (theta + e)
    unit = there / np.linalg.norm(there)
    cosine = g @ there / np.linalg.norm(g) / np.linalg.norm(there)
    orthogonal = g - cosine * np.linalg.norm(g) * unit
    np.testing.assert_allclose(
        np.concatenate([found["a"], found["b"]]),
        there - gap * orthogonal,
        rtol=1e-9)
    np.testing.assert_allclose(value, theta @ matrix @ theta / 2)
    self.assertEqual(aux, "aux")

  def test_no_gradient_gives_no_step(self):
    rule = flat_minima(0.1, surrogate_gap=1.0)
    _, found = rule(lambda params: ((0.0, ()), params * 0), jnp.ones(3))
    np.testing.assert_array_equal(found, 0)

  @parameterized.parameters((0.0, 0.0), (0.1, -1.0))
  def test_refuses(self, radius, gap):
    with self.assertRaisesRegex(ValueError, "`radius` must be positive"):
      flat_minima(radius, surrogate_gap=gap)


class ExpertsTest(absltest.TestCase):

  def test_paths_are_epochs_of_plain_descent(self):
    data = source()
    (_, second) = experts()
    key = jax.random.split(jax.random.key(1), 2)[1]
    k_init, k_epochs = jax.random.split(key)
    variables = NETWORK.init(k_init, data.example)
    optimizer = optax.sgd(1.0)
    state = optimizer.init(variables["params"])
    for epoch in range(4):
      np.testing.assert_allclose(
          second.weights[epoch],
          vector.flatten(variables["params"]),
          rtol=1e-5,
          atol=1e-6)
      variables, state = jax.jit(
          lambda key, *carry: train_epoch_on(
              key,
              *carry,
              data.train,
              network=NETWORK,
              optimizer=optimizer,
              batch_size=20))(
                  jax.random.fold_in(k_epochs, epoch), variables, state)
    self.assertGreater(second.accuracy[-1], 0.8)
    self.assertLess(second.accuracy[0], second.accuracy[-1])

  def test_an_expert_depends_on_its_own_key_alone(self):
    alone = train_experts(
        jax.random.split(jax.random.key(1), 2)[1:],
        NETWORK,
        source().train,
        num_epochs=3,
        batch_size=20,
        step_size=1.0)
    np.testing.assert_array_equal(alone[0].weights, experts()[1].weights)
    self.assertEmpty(alone[0].accuracy)

  def test_decay_and_momentum_are_those_of_the_formula(self):
    """One batch an epoch, in NumPy but for the gradient."""
    data = source()
    size = data.train.num_samples
    decay, beta, rate = 0.1, 0.5, 0.3
    expert = experts(
        1, batch_size=size, step_size=rate, weight_decay=decay,
        momentum=beta)[0]
    like, moving = shapes(), 0.0
    inputs = data.train.encode(data.train.inputs)

    def loss(weights):
      variables = {"params": vector.unflatten(weights, like)}
      return cross_entropy(
          NETWORK.apply(variables, inputs)[0], label_rows(data.train.labels, 3))

    for before, after in zip(expert.weights, expert.weights[1:], strict=False):
      gradient = np.asarray(jax.grad(loss)(jnp.asarray(before)))
      moving = beta * moving + gradient + decay * before
      np.testing.assert_allclose(after, before - rate * moving, atol=1e-5)

  def test_flat_minima_lead_elsewhere(self):
    flat = experts(gradient_rule=flat_minima(0.1))
    self.assertFalse(np.allclose(flat[0].weights[-1], experts()[0].weights[-1]))
    self.assertGreater(flat[0].accuracy[-1], 0.8)

  def test_says_how_far_it_is(self):
    said = []
    experts(
        num_epochs=2,
        at_once=1,
        on_epoch=lambda *place: said.append((*place[:2], len(place[2]))))
    self.assertEqual(said, [(0, 1, 1), (0, 2, 1), (1, 1, 1), (1, 2, 1)])

  def test_refuses(self):
    with self.assertRaisesRegex(ValueError, "`num_epochs` and `batch_size`"):
      experts(num_epochs=0)


class BufferTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
    self.identity = dict(data="abc", recipe=dict(step_size=0.1, momentum=0.0))
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes()))
    self.weights = np.random.default_rng(0).normal(size=(2, 5, size)).astype(
        np.float32)
    for number, weights in enumerate(self.weights):
      self.save(number, weights)

  def save(self, number, weights, **settings):
    buffer.save_expert(
        self.folder,
        number,
        Expert(weights, np.linspace(0, 1, len(weights))),
        like=shapes(),
        identity=self.identity,
        **settings)

  def open(self, **settings):
    settings = dict(like=shapes(), identity=self.identity) | settings
    return buffer.open_buffer(self.folder, **settings)

  def test_gives_back_what_was_saved(self):
    opened = self.open()
    self.assertEqual(opened.num_experts, 2)
    self.assertEqual(opened.num_epochs, 4)
    segment = opened.segment(1, 1, 2)
    np.testing.assert_array_equal(segment.start, self.weights[1, 1])
    np.testing.assert_array_equal(segment.target, self.weights[1, 3])
    self.assertEqual(opened.documents[0]["accuracy"], [0, 0.25, 0.5, 0.75, 1])

  def test_bfloat16_is_half_and_rounds(self):
    self.save(0, self.weights[0], dtype="bfloat16")
    row = self.open().weights(0, 2)
    self.assertEqual(row.dtype, np.float32)
    np.testing.assert_allclose(row, self.weights[0, 2], rtol=2**-8)
    self.assertLess(
        buffer.path_of(self.folder, 0).stat().st_size,
        0.7 * buffer.path_of(self.folder, 1).stat().st_size)

  def test_a_row_is_read_without_the_rest(self):
    """Damage elsewhere in the file does not touch it, and is found there."""
    file = buffer.path_of(self.folder, 0)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1  # in the last row
    file.write_bytes(content)
    opened = self.open()
    np.testing.assert_array_equal(opened.weights(0, 3), self.weights[0, 3])
    with self.assertRaisesRegex(WorkdirError,
                                "expert_000.*after epoch 4 are damaged"):
      opened.weights(0, 4)

  def test_refuses_what_is_cut_short(self):
    file = buffer.path_of(self.folder, 1)
    os.truncate(file, file.stat().st_size // 2)
    with self.assertRaisesRegex(WorkdirError, "expert_001.*cut short"):
      self.open()

  def test_refuses_a_foreign_file(self):
    storage.write(
        buffer.path_of(self.folder, 1), {"weights": self.weights[1]}, {})
    with self.assertRaisesRegex(WorkdirError, "expert_001.*it is no expert"):
      self.open()
    buffer.path_of(self.folder, 1).write_text("no safetensors")
    with self.assertRaisesRegex(WorkdirError, "expert_001"):
      self.open()

  @parameterized.parameters(
      dict(layout=[]), dict(layout=3), dict(layout=[[[], 3]]),
      dict(layout=[["a", 3]]), dict(rows=None), dict(rows=[]), dict(rows=5),
      dict(accuracy=["1"]), dict(accuracy=None), dict(identity=[]),
      dict(about=3), dict(identity="x" * 9_999))
  def test_refuses_metadata_of_another_kind(self, **change):
    tensors, document = storage.read(buffer.path_of(self.folder, 1))
    del document["own_sha256"], document["sha256"]
    storage.write(buffer.path_of(self.folder, 1), tensors, document)
    self.open()  # as older ones are
    storage.write(buffer.path_of(self.folder, 1), tensors, document | change)
    self.refuses_in_a_line()

  @parameterized.parameters("own_sha256", "none")
  def test_refuses_edited_metadata(self, dropped):
    file = buffer.path_of(self.folder, 1)
    tensors, document = storage.read(file)
    document["accuracy"][-1] = 0.99
    document.pop(dropped, None)
    text = {storage.KEY: storage.to_json(document)}
    file.write_bytes(safetensors.numpy.save(tensors, text))
    with self.assertRaisesRegex(WorkdirError, "expert_001.*damaged or changed"):
      self.open()

  def test_refuses_a_renamed_expert(self):
    one, two = (buffer.path_of(self.folder, number) for number in (1, 2))
    one.rename(two)
    with self.assertRaisesRegex(WorkdirError, "expert_002.*it holds expert 1"):
      self.open()

  def refuses_in_a_line(self):
    with self.assertRaisesRegex(WorkdirError, "expert_001") as caught:
      self.open()
    said = str(caught.exception).replace(str(self.folder), "")
    self.assertNotIn("\n", said)
    self.assertLess(len(said), 300)

  def test_refuses_weights_of_another_type(self):
    tensors, document = storage.read(buffer.path_of(self.folder, 1))
    tensors = {"weights": tensors["weights"].astype(np.float64)}
    storage.write(buffer.path_of(self.folder, 1), tensors, document)
    with self.assertRaisesRegex(WorkdirError, "expert_001.*weights are F64"):
      self.open()

  @parameterized.parameters(
      (dict(data="xyz"), "data is 'xyz' and .*expert_000.* has 'abc'"), (
          dict(recipe=dict(step_size=0.2, momentum=0.0)),
          "recipe.step_size is 0.2 and .* has 0.1"))
  def test_refuses_experts_of_another_run(self, change, message):
    with self.assertRaisesRegex(WorkdirError, message):
      self.open(identity=self.identity | change)

  def test_refuses_another_network(self):
    other = jax.eval_shape(
        mlp(3, widths=(6,)).init, jax.random.key(0),
        source().example)["params"]
    with self.assertRaisesRegex(WorkdirError, r"bias is \[6\] there and \[5\]"):
      self.open(like=other)

  def test_refuses_too_few_and_unequal_ones(self):
    with self.assertRaisesRegex(WorkdirError, "hold 3 experts; .* has 2"):
      self.open(num_experts=3)
    self.assertEqual(self.open(num_experts=1).num_experts, 1)
    self.save(1, self.weights[1, :3])
    with self.assertRaisesRegex(WorkdirError, "number of epochs; .* 2, 4"):
      self.open()

  def test_what_a_killed_save_leaves_is_no_expert(self):
    (self.folder / ".expert_002.safetensors.1.partial").write_text("half")
    self.assertEqual(buffer.numbers(self.folder), [0, 1])
    self.assertEqual(buffer.numbers(self.folder / "absent"), [])
    storage.forget_halves(self.folder, "expert_*")
    self.assertLen(list(self.folder.iterdir()), 2)

  def feed(self, **settings):
    settings = dict(seed=0, span=2, epochs=datm.constant(0, 3)) | settings
    feed = Feed(self.open(), **settings)
    self.addCleanup(feed.close)
    return feed

  def test_feed_stages_the_segments_of_the_steps(self):
    feed = self.feed()
    first = feed(0, 4)
    following, reading = feed._ahead
    self.assertEqual(following, (4, 4, 0))
    second = feed(4, 4)
    self.assertIs(second, reading.result())  # it was read ahead
    for step in range(8):
      expert, epoch = feed.draw(step)
      found = (first, second)[step // 4]
      np.testing.assert_array_equal(
          found.start[step % 4], self.weights[expert, epoch])
      np.testing.assert_array_equal(
          found.target[step % 4], self.weights[expert, epoch + 2])

  def test_another_attempt_is_not_what_was_read_ahead(self):
    feed = self.feed()
    feed(0, 9)
    found = feed(9, 9, attempt=1)
    for place in range(9):
      expert, epoch = feed.draw(9 + place, attempt=1)
      np.testing.assert_array_equal(
          found.start[place], self.weights[expert, epoch])

  def test_draws_depend_on_the_step_alone(self):
    feed, other = self.feed(), self.feed()
    other(7, 3)
    for a, b in zip(feed(2, 3), other(2, 3), strict=True):
      np.testing.assert_array_equal(a, b)
    drawn = {feed.draw(step) for step in range(100)}
    self.assertEqual(drawn, {(e, t) for e in range(2) for t in range(3)})
    self.assertNotEqual([feed.draw(step) for step in range(9)],
                        [feed.draw(step, attempt=1) for step in range(9)])

  def test_feed_refuses_segments_beyond_the_end(self):
    with self.assertRaisesRegex(ValueError, "4 epochs; got 2 from epoch 3"):
      self.feed(epochs=datm.constant(0, 4))


class DatmTest(parameterized.TestCase):

  def test_bounds_as_released(self):
    epochs = datm.interpolated(0, 10, 20, 1000)
    self.assertEqual(
        [epochs.bounds(step) for step in (0, 99, 100, 999, 1000, 5000)],
        [(0, 10), (0, 10), (0, 11), (0, 19), (0, 20), (0, 20)])

  def test_bounds_as_in_the_paper(self):
    epochs = datm.one_by_one(5, 10, 12, 100)
    self.assertEqual(
        [epochs.bounds(step)[1] for step in (0, 99, 100, 200, 900)],
        [10, 10, 11, 12, 12])

  @parameterized.parameters((-1, 2, 3), (2, 2, 3), (0, 4, 3))
  def test_refuses_bounds(self, lowest, first, highest):
    with self.assertRaisesRegex(ValueError, "0 <= lowest < first"):
      datm.interpolated(lowest, first, highest, 10)

  def test_starts_from_what_experts_get_right(self):
    data = source(90)
    labels = np.asarray(data.train.labels)
    x = data.train.encode(data.train.inputs)
    # An expert that is right about even rows alone, by a table of inputs.
    right = np.arange(90) % 2 == 0
    network = _table(x, np.where(right, labels, (labels + 1) % 3))
    classes = np.repeat(np.arange(3), 5)
    rows = agreement.correct_rows(
        jax.random.key(0), [{
            "params": ()
        }], network, data.train, classes)
    self.assertTrue(right[rows].all())
    np.testing.assert_array_equal(labels[rows], classes)
    self.assertLen(set(rows.tolist()), 15)
    # More than it gets right: the others follow.
    many = np.repeat(np.arange(3), 20)
    rows = agreement.correct_rows(
        jax.random.key(0), [{
            "params": ()
        }], network, data.train, many)
    self.assertLen(set(rows.tolist()), 60)
    self.assertEqual(right[rows].sum(), 45)
    with self.assertRaisesRegex(ValueError, "class 0 has 30 and 31 were"):
      agreement.correct_rows(
          jax.random.key(0), [], network, data.train, np.repeat(range(3), 31))

  def test_labels_are_the_logits_of_those_that_are_right(self):
    logits = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    classes = np.arange(6) % 3
    logits[:, 5] = [[9, 0, 0]] * 4  # which no expert gets right
    network = _of_params()
    found = agreement.expert_logits([{
        "params": each
    } for each in logits], network, np.zeros((6, 1)), classes)
    for i in range(5):
      right = [e[i] for e in logits if e[i].argmax() == classes[i]]
      expected = np.mean(right, 0) if right else np.log(
          np.where(np.arange(3) == classes[i], 0.9, 0.05))
      np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    np.testing.assert_allclose(
        jax.nn.softmax(found[5]), [0.05, 0.05, 0.9], rtol=1e-5)

  def test_labels_of_a_row_are_the_mean_of_its_samples(self):
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    experts = [{"params": each} for each in logits]
    stored = pixels()._replace(owner=lambda codes: np.array([0, 1, 0, 1]))
    start = Distilled(jnp.zeros((4, 1)), jnp.zeros((2, 3)), jnp.zeros(0))
    classes = np.array([2, 0])
    found = agreement.with_logits(
        start, stored, experts, _of_params(), classes).labels
    each = agreement.expert_logits(
        experts, _of_params(), np.zeros((4, 1)), classes[[0, 1, 0, 1]])
    np.testing.assert_allclose(found, (each[:2] + each[2:]) / 2, rtol=1e-5)
    found = agreement.with_probabilities(
        start, stored, experts, _of_params()).labels
    mean = np.asarray(jax.nn.softmax(logits)).mean(0)
    np.testing.assert_allclose(found, (mean[:2] + mean[2:]) / 2, rtol=1e-5)

  def test_a_binary_task_has_one_logit(self):
    logits = np.array([[2.0], [-1.0], [-3.0]], np.float32)
    found = agreement.expert_logits([{
        "params": logits
    }], _of_params(), np.zeros((3, 1)), np.array([1, 0, 1]))
    np.testing.assert_allclose(found[:2], logits[:2])
    np.testing.assert_allclose(jax.nn.sigmoid(found[2]), 0.9, rtol=1e-5)


def _table(inputs, classes):
  """A network that looks its answer up."""
  table, answers = jnp.asarray(inputs), jax.nn.one_hot(classes, 3)

  def apply(variables, x, **_):
    nearest = jnp.abs(x[:, None] - table).sum(-1).argmin(1)
    return answers[nearest], variables

  return Network(lambda key, x: {"params": ()}, apply, apply)


def _of_params():
  """A network whose weights are its logits."""

  def apply(variables, x, **_):
    return jnp.asarray(variables["params"])[:len(x)], variables

  return Network(lambda key, x: {"params": ()}, apply, apply)


if __name__ == "__main__":
  absltest.main()
