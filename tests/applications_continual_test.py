"""Tasks in turn: numbers by hand, nothing of later tasks, joined memories."""

import json
import tempfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from distill_jax import evaluate_set, methods, models, preprocessing
from distill_jax.applications import Cells, continual, memories, replay
from distill_jax.applications.makers import maker
from distill_jax.applications.scenarios import digest
from distill_jax.applications.small_sets import Maker, stored_bytes
from distill_jax.artifact import from_samples
from distill_jax.data import from_arrays
from distill_jax.errors import ArtifactError, ConfigError, DataError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.fitting import own_learner
from distill_jax.evaluation.forgetting import scores
from distill_jax.evaluation.learners import student

KEY = jax.random.key(0)
CLASSES = np.tile(np.arange(4), 18)
RECIPE = recipes.dsa(4, strategy="")
SMALL = dict(
    per_class=1,
    num_networks=2,
    networks={
        "name": "mlp",
        "widths": [8]
    },
    recipe=RECIPE,
    joint_steps=2,
    fine_tune_steps=2)


def toy(change=None, classes=CLASSES, num_classes=4):
  """Images of 4x4 pixels, one row of them bright in each class."""
  images = np.random.RandomState(0).randint(0, 90, (len(classes), 4, 4, 1))
  images[np.arange(len(classes)), classes] += 120
  if change is not None:
    images[classes == change] = 255 - images[classes == change]
  return from_arrays(
      images.astype(np.uint8),
      classes,
      class_names=[str(c) for c in range(num_classes)],
      test_fraction=1 / 3)


def network(num_classes=4):
  return models.from_spec(dict(name="mlp", widths=[8]), num_classes)


def in_two(source, **settings):
  return continual.Scenario.class_incremental(
      source, 2, order=range(source.num_classes), **settings)


def soft(rows, space, **changes):
  """A set of 4x4 images with given label rows."""
  rows = np.asarray(rows, np.float32)
  inputs = np.random.RandomState(1).normal(size=(len(rows), 4, 4, 1))
  made = from_samples(
      inputs,
      rows,
      class_names=["0", "1", "2", "3"],
      preprocessing=toy().preprocessing,
      label_space=space)
  return made._replace(**changes)


class ScoresTest(parameterized.TestCase):

  def test_by_hand(self):
    a = [[0.9, np.nan, np.nan], [0.95, 0.8, 0.3], [0.7, 0.5, 1.0]]
    found = scores(a)
    np.testing.assert_allclose(found.after, [0.9, 0.875, 2.2 / 3])
    np.testing.assert_allclose(found.final, 2.2 / 3)
    np.testing.assert_allclose(found.average, (0.9 + 0.875 + 2.2 / 3) / 3)
    np.testing.assert_allclose(found.forgetting, (0.25 + 0.3) / 2)
    np.testing.assert_allclose(found.backward, (-0.2 - 0.3) / 2)

  def test_weights_and_leading_axes(self):
    a = [[0.5, np.nan], [0.4, 0.8]]
    found = scores([a, a], [1, 3])
    np.testing.assert_allclose(found.final, [0.7, 0.7])
    np.testing.assert_allclose(found.after[0], [0.5, 0.7])

  @parameterized.parameters(([[0.5]], None), ([[0.5, 0.1]], None),
                            (np.eye(2), [1.0]), (np.eye(2), [1.0, 0.0]))
  def test_refuses(self, a, weights):
    with self.assertRaises(ValueError):
      scores(a, weights)


class ScenarioTest(parameterized.TestCase):

  def test_the_published_order_and_what_a_task_holds(self):
    source = toy(classes=np.tile(np.arange(10), 6) % 4)
    source = from_arrays(
        np.random.RandomState(0).normal(size=(60, 3)),
        np.tile(np.arange(10), 6),
        test_fraction=1 / 3)
    made = continual.Scenario.class_incremental(source, 5, order=0)
    # numpy.random.seed(0); numpy.random.permutation(10), NumPy 1.17.
    order = [[2, 8], [4, 9], [1, 6], [7, 3], [0, 5]]
    self.assertEqual(made.classes, tuple(tuple(sorted(c)) for c in order))
    for t, task in enumerate(made.tasks):
      self.assertEqual(task.num_classes, 10)
      for split in (task.train, task.test):
        self.assertSetEqual(set(np.asarray(split.labels)), set(order[t]))
    seen = made.seen_test(1)
    self.assertSetEqual(set(np.asarray(seen.labels)), {2, 8, 4, 9})
    self.assertEqual(made.together().train.num_samples, 40)
    self.assertEqual(made.together().test.num_samples, 20)

  def test_unequal_tasks(self):
    made = continual.Scenario.class_incremental(
        toy(), classes_per_task=[3, 1], order=[1, 0, 3, 2])
    self.assertEqual(made.classes, ((0, 1, 3), (2,)))
    np.testing.assert_array_equal(made.weights, [18, 6])

  def test_preprocessing_is_fitted_to_the_first_task(self):
    source = toy()
    first = np.asarray(source.train.inputs)[np.asarray(source.train.labels) < 2]
    wanted = (first / 255).mean(), (first / 255).std()
    for task in in_two(source).tasks:
      for split in (task.train, task.test):
        record = split.preprocessing
        np.testing.assert_allclose([record.mean[0], record.std[0]],
                                   wanted,
                                   rtol=1e-5)
    given = in_two(source, preprocessing="given").tasks[1].preprocessing
    chex.assert_trees_all_equal(given, source.preprocessing)
    whole = in_two(source, preprocessing="zca").tasks[1].preprocessing
    self.assertIsInstance(whole, preprocessing.ZCA)

  def test_domains_share_classes_and_the_first_preprocessing(self):
    source = toy()
    other = continual.rotated(source, 90).in_classes(["3", "2", "1", "0"])
    made = continual.Scenario.domain_incremental([source, other])
    self.assertEqual(made.classes, ((0, 1, 2, 3),) * 2)
    np.testing.assert_array_equal(
        made.tasks[1].train.labels, source.train.labels)
    np.testing.assert_array_equal(
        np.rot90(source.train.inputs, 1, (1, 2)), made.tasks[1].train.inputs)
    chex.assert_trees_all_equal(
        made.tasks[0].preprocessing, made.tasks[1].preprocessing)

  def test_rotated(self):
    images = np.zeros((8, 5, 5, 1), np.uint8)
    images[:, 2, 2:] = 200  # from the centre to the right
    source = from_arrays(images, [0, 1] * 4, test_fraction=0.25)
    found = np.asarray(continual.rotated(source, 45).train.inputs)[0, ..., 0]
    self.assertEqual(found.dtype, np.uint8)
    self.assertEqual(found[2, 2], 200)
    self.assertGreater(found[1, 3], 100)  # up and to the right
    self.assertEqual(found[3, 3], 0)
    same = continual.rotated(source, 360).train.inputs
    np.testing.assert_array_equal(same, source.train.inputs)

  @parameterized.named_parameters(
      ("both", dict(num_tasks=2, classes_per_task=2), "exactly one of"),
      ("three", dict(num_tasks=3), "`num_tasks` must divide the 4 classes"),
      ("one", dict(num_tasks=1), "`num_tasks` must divide the 4 classes"),
      ("sum", dict(classes_per_task=[3, 2]), "that sum to the 4 classes"),
      ("order", dict(num_tasks=2, order=[0, 1, 2, 2]), "a permutation of 0..3"),
      ("rule", dict(num_tasks=2, preprocessing="last"), "first, given"))
  def test_refuses(self, settings, message):
    with self.assertRaisesRegex(ConfigError, message):
      continual.Scenario.class_incremental(toy(), **settings)

  def test_refuses_sources(self):
    source = toy()
    with self.assertRaisesRegex(DataError, "must have a test part"):
      in_two(source._replace(test=None))
    with self.assertRaisesRegex(DataError, "got none of 3"):
      in_two(source.take(np.flatnonzero(np.asarray(source.train.labels) < 3)))
    with self.assertRaisesRegex(DataError, "preprocessing='given' keeps it"):
      in_two(source.encoded(), preprocessing="standardise")
    with self.assertRaisesRegex(DataError, "must be 'given', or name"):
      in_two(source.encoded())
    with self.assertRaisesRegex(ConfigError, "at least two domains"):
      continual.Scenario.domain_incremental([source])


class MemoryTest(parameterized.TestCase):

  @parameterized.named_parameters(
      (
          "probabilities", "probabilities", [[0.2, 0.2, 0.3, 0.3]],
          [[0.5, 0.5, 0, 0]]), (
              "logits", "logits", np.log([[1.0, 3.0, 8.0, 8.0]
                                         ]), [[0.25, 0.75, 0, 0]]),
      ("raw", "raw", [[2.0, -1.0, 5.0, 0.5]], [[2.0, -1.0, 0, 0]]),
      ("centred", "centred", [[0.5, -0.25, -0.5, 0.25]], [[0.75, 0, 0, 0]]))
  def test_no_mass_on_classes_of_other_tasks(self, space, rows, wanted):
    found = memories.rows_on(soft(rows, space), (0, 1))
    np.testing.assert_allclose(found, wanted, atol=1e-6)

  def test_joins_what_differs(self):
    parts = [
        soft([[0.2, 0.2, 0.3, 0.3]] * 2,
             "probabilities",
             step_sizes=np.ones(1, np.float32)),
        soft(np.eye(4)[2:] - 0.25, "centred", extra={"slope": np.float32(3)})
    ]
    found = memories.united(parts, [(0, 1), (2, 3)], RECIPE)
    np.testing.assert_allclose(
        found.labels, [[0.5, 0.5, 0, 0]] * 2 + [[0, 0, 1, 0], [0, 0, 0, 1]],
        atol=1e-6)
    np.testing.assert_array_equal(found.inputs[2:], parts[1].inputs)
    centred = memories.united(parts, [(0, 1), (2, 3)], recipes.kip(3))
    np.testing.assert_allclose(centred.labels, found.labels - 0.25, atol=1e-6)
    self.assertEqual(centred.label_space, "centred")

  def test_two_classes_have_one_output(self):
    source = toy(classes=np.tile([0, 1], 18), num_classes=2)
    parts = [
        continual.remember(KEY, task, "random_real", per_class=2)
        for task in in_two(source).tasks
    ]
    found = memories.united(parts, [(0,), (1,)], RECIPE)
    np.testing.assert_array_equal(found.labels, [[0], [0], [1], [1]])

  def test_budget_in_bytes(self):
    task = in_two(toy()).tasks[0]
    real, dm = maker("random_real"), maker(methods.dm(num_steps=1))
    # 16 pixels of one byte and a label of one: 17 bytes a sample, 2 classes.
    self.assertEqual(memories.rows_for(task, real, num_bytes=4 * 17), 4)
    self.assertEqual(memories.rows_for(task, real, num_bytes=6 * 17 - 1), 4)
    # Of floats 64 bytes, and 16 for a label of 4 classes.
    self.assertEqual(memories.rows_for(task, dm, num_bytes=4 * 80), 4)
    self.assertEqual(memories.rows_for(task, dm, num_bytes=4 * 80 - 1), 2)
    made = continual.remember(KEY, task, dm, num_bytes=200)
    self.assertLessEqual(stored_bytes(made), 200)
    for one in (real, dm):
      with self.assertRaisesRegex(ConfigError, "a row of each class"):
        memories.rows_for(task, one, num_bytes=33)
    # As many real ones as in two rows of 65 bytes: 7 samples, 3 of each class.
    part = real.make(KEY, task, 2, None)
    self.assertEqual(memories.equal_bytes(task, part, exact=False), 6)

  def test_refuses_methods_whose_sets_cannot_be_joined(self):
    with self.assertRaisesRegex(ConfigError, "must not fix"):
      memories.check_kept(maker(methods.dd(fixed=True)))
    memories.check_kept(maker(methods.dd()))

  def test_refuses_sets_that_cannot_be_joined(self):
    rows = np.eye(4)[:2]
    theta = soft(rows, "raw", initial={"w": np.ones(2, np.float32)})
    with self.assertRaisesRegex(ConfigError, "no fixed initialisation"):
      memories.united([theta], [(0, 1)], RECIPE)
    own = soft(rows, "raw", extra={"probe": np.ones(3, np.float32)})
    with self.assertRaisesRegex(ConfigError, "a probe of its own"):
      memories.united([own, soft(rows, "raw")], [(0, 1)] * 2, RECIPE)
    other = soft(rows, "raw", raw_dtype="float32")
    with self.assertRaisesRegex(ArtifactError, "raw_dtype"):
      memories.united([soft(rows, "raw"), other], [(0, 1)] * 2, RECIPE)


class LearnerTest(parameterized.TestCase):

  def test_kept_outputs(self):
    z, before = np.random.RandomState(0).normal(size=(2, 3, 4))
    old, heat = np.array([True, False, True, False]), 2.0

    def softmax(logits):
      powers = np.exp(logits[:, old] / heat)
      return powers / powers.sum(1, keepdims=True)

    p, q = softmax(z), softmax(before)
    wanted = heat**2 * (q * np.log(q / p)).sum(1).mean()
    value, gradient = jax.value_and_grad(replay.kept_outputs)(
        jnp.asarray(z), before, old, heat)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_array_equal(gradient[:, ~old], 0)
    np.testing.assert_allclose(
        gradient[:, old], heat * (p - q) / 3, rtol=1e-4, atol=1e-6)
    two = [replay.kept_outputs(z[:, :1], before[:, :1], [True] * 2, heat)]
    wide = [np.stack([0 * a[:, 0], a[:, 0]], 1) for a in (z, before)]
    two.append(replay.kept_outputs(*wide, np.ones(2, bool), heat))
    np.testing.assert_allclose(*two, rtol=1e-6)
    nothing = jax.grad(replay.kept_outputs)(
        jnp.asarray(z), before, np.zeros(4, bool), heat)
    np.testing.assert_array_equal(nothing, 0)

  def test_share_of_the_memory(self):
    record = preprocessing.from_constants([0.0], [1.0])
    arrived = jnp.zeros((8, 1)), jnp.full(8, 2), 8
    memory = jnp.ones((4, 1)), jnp.eye(3)[jnp.zeros(4, int)], 4
    x, y = replay._mixed(KEY, memory, arrived, record, 3, 10, 3)
    np.testing.assert_array_equal(x[:, 0], [1] * 3 + [0] * 7)
    np.testing.assert_array_equal(y.argmax(1), [0] * 3 + [2] * 7)
    padded = replay._mixed(
        KEY, None, (jnp.arange(8.0)[:, None], jnp.arange(8), 2), record, 0, 50,
        9)
    self.assertSetEqual(set(np.ravel(padded[0])), {0.0, 1.0})

  def test_gdumb_is_the_evaluator_on_the_union(self):
    scenario = in_two(toy())
    parts = [
        continual.remember(KEY, task, "random_real", per_class=2)
        for task in scenario.tasks
    ]
    a = continual.learn(
        KEY,
        scenario,
        parts,
        continual.gdumb(RECIPE),
        network=network(),
        num_networks=2)
    self.assertEqual(a.shape, (2, 2, 2))
    self.assertTrue(np.isnan(a[:, 0, 1]).all())
    for t in range(2):
      whole = memories.united(parts[:t + 1], scenario.classes[:t + 1], RECIPE)
      report = evaluate_set(
          jax.random.fold_in(KEY, t),
          whole,
          scenario.seen_test(t),
          learner=student(network(), RECIPE),
          num_networks=2)
      found = scores(a, scenario.weights).after[:, t]
      np.testing.assert_allclose(found, report.accuracy)

  def test_a_memory_of_probes_is_judged_by_the_probe_of_all_features(self):
    """By NumPy: ridge regression on all tasks seen, the ridges added."""
    source = toy()
    x = np.float32(source.train.inputs).reshape(-1, 16) / 255
    x_test = np.float32(source.test.inputs).reshape(-1, 16) / 255
    features = from_arrays(x, source.train.labels, x_test, source.test.labels)
    kept = methods.frozen_features(kind="sufficient_statistics_set", ridge=1e-2)
    found = continual.compare(
        in_two(features, preprocessing="given"), [kept, "class_mean"], **{
            **SMALL, "per_class": 9,
            "equal_bytes": False,
            "fine_tune_steps": 0,
            "joint_steps": 0
        })
    row, other = found["rows"]
    self.assertEqual((row["network"], row["num_networks"]), ("linear_probe", 1))
    self.assertEqual((other["network"], other["num_networks"]), ("mlp", 2))
    self.assertEqual(row["own"]["name"], "linear_probe")
    parts = [
        continual.remember(KEY, task, kept, per_class=9)
        for task in in_two(features, preprocessing="given").tasks
    ]
    whole = memories.united(parts, [(0, 1), (2, 3)], RECIPE)
    z = np.float64(features.train.encode(features.train.inputs))
    y = np.eye(4)[features.train.labels]
    mean, ridge = z.mean(0), sum(p.extra["probe"]["ridge"] for p in parts)
    np.testing.assert_allclose(whole.extra["probe"]["ridge"], ridge, rtol=1e-6)
    weights = np.linalg.solve((z - mean).T @ (z - mean) + ridge * np.eye(16),
                              (z - mean).T @ (y - y.mean(0)))
    test = np.float64(features.test.encode(features.test.inputs))
    said = (test - mean) @ weights + y.mean(0) - 0.25
    outputs = own_learner(whole.network).outputs(whole.training_set)
    np.testing.assert_allclose(outputs(np.float32(test)), said, atol=1e-3)
    right = (said.argmax(1) == np.asarray(features.test.labels)).mean()
    np.testing.assert_allclose(row["mean"], right, atol=1e-6)
    self.assertIn("linear_probe", str(found))
    self.assertLen(found.figure().axes, 1)
    with self.assertRaisesRegex(ConfigError, "`learner` must be gdumb"):
      continual.compare(
          in_two(features, preprocessing="given"), [kept], **{
              **SMALL, "per_class": 9,
              "learner": "kd"
          })

  def test_replay_is_gradient_descent(self):
    source = toy().take([0])  # one sample, so that every batch is known
    rule = replay.Rule(3, 2, 0.1, 0.0, 0.0, "")
    arrival = replay.Arrival(source, 0, np.zeros(4, bool), longest=5)
    found = replay.replay(
        KEY, None, arrival, None, network=network(), rule=rule, num_networks=1)
    x = source.train.encode(source.train.inputs)
    y = jax.nn.one_hot(source.train.labels, 4)
    k_init, _ = jax.random.split(jax.random.fold_in(KEY, 0))
    wanted = network().init(k_init, x)

    def loss(params):
      logits = network().apply({"params": params}, x)[0]
      return optax.softmax_cross_entropy(logits, y).mean()

    params = wanted["params"]
    for rate in (0.1, 0.01, 0.01):
      change = jax.grad(loss)(params)
      params = jax.tree.map(lambda p, g, r=rate: p - r * g, params, change)
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[0], found["params"]), params, rtol=1e-5)

  @parameterized.named_parameters(("union", continual.union),
                                  ("kd", continual.kd))
  def test_learns(self, make):
    scenario, learner = in_two(toy()), make(30, batch_size=16)
    parts = [
        continual.remember(KEY, task, "random_real", per_class=2)
        for task in scenario.tasks
    ]
    a = continual.learn(
        KEY, scenario, parts, learner, network=network(), num_networks=2)
    self.assertGreater(a[:, 1].mean(), 0.7)

  def test_old_outputs_are_kept_without_a_memory(self):
    scenario, net = in_two(toy()), network()
    first, second = scenario.tasks
    old = np.array([True, True, False, False])
    x = second.train.encode(second.train.inputs)

    def outputs(variables, i):
      return net.apply(jax.tree.map(lambda leaf: leaf[i], variables), x)[0]

    moved = []
    for beta in (0.0, 1.0):
      learner = continual.kd(40, beta=beta, batch_size=16)
      before = learner.learn(
          KEY, net, None, None, replay.Arrival(first, 0, ~old & old), 2)
      after = learner.learn(
          KEY, net, before, None, replay.Arrival(second, 1, old), 2)
      moved.append([
          replay.kept_outputs(outputs(after, i), outputs(before, i), old, 2.0)
          for i in range(2)
      ])
    self.assertTrue((np.array(moved[1]) < 0.5 * np.array(moved[0])).all())


class CompareTest(parameterized.TestCase):

  def test_later_tasks_change_nothing_before_they_arrive(self):
    found = []
    for source in (toy(), toy(change=3)):  # class 3 is of the last task
      cells = Cells()
      continual.compare(in_two(source), ["random_real"], cells=cells, **SMALL)
      scenario = in_two(source)
      first = f"sets/{digest(scenario.tasks[0])}/random_real_2"
      place = "accuracies/mlp/random_real_1/order_0/task_"
      found.append((
          cells._memory[first].inputs, cells._memory[place + "0"]["accuracy"],
          digest(scenario.tasks[1]), cells._memory[place + "1"]["accuracy"]))
    (inputs, accuracy, other, later), changed = found
    np.testing.assert_array_equal(inputs, changed[0])
    self.assertEqual(accuracy, changed[1])
    self.assertNotEqual(other, changed[2])
    self.assertNotEqual(later, changed[3])

  def test_rows(self):
    source = toy()
    found = continual.run(
        source,
        num_tasks=2,
        num_orders=2,
        makers=[
            "random_real", "class_mean",
            maker("kmeans")._replace(name="centres")
        ],
        **SMALL)
    rows = {row["memory"]: row for row in found["rows"]}
    self.assertSequenceEqual(
        list(rows), [
            "random_real", "class_mean", "centres", "random_real as class_mean",
            "no memory", "all data jointly"
        ])
    self.assertEqual(rows["random_real"]["bytes"], 4 * 17)
    self.assertEqual(rows["class_mean"]["bytes"], 4 * 65)
    self.assertEqual(rows["random_real as class_mean"]["num_rows"], 12)
    final = rows["class_mean"]["final"]
    values = np.array(final["values"])  # [orders, networks]
    self.assertEqual(values.shape, (2, 2))
    np.testing.assert_allclose(final["mean"], values.mean())
    np.testing.assert_allclose(
        final["stderr"],
        values.mean(1).std(ddof=1) / np.sqrt(2))
    json.dumps(found)
    self.assertIn(
        "one row for class_mean and centres", " ".join(str(found).split()))
    self.assertLess(max(map(len, str(found).splitlines())), 101)
    self.assertLen(found.figure().axes, 1)
    for bound, weak in ((0.9, False), (0.1, True)):
      rows["all data jointly"]["final"]["mean"] = bound
      rows["random_real"]["final"]["mean"] = 0.5
      for name in ("class_mean", "centres", "random_real as class_mean"):
        rows[name]["final"]["mean"] = 0.05
      rows["no memory"]["final"]["mean"] = 0.95  # is no memory
      self.assertEqual(
          "no upper bound here" in str(found).replace("\n", " "), weak)

  def test_goes_on_to_an_equal_result(self):
    calls, real = [], maker("random_real")

    def failing(key, source, num_rows, network):
      calls.append(num_rows)
      if len(calls) == 2:
        raise KeyboardInterrupt
      return real.make(key, source, num_rows, network)

    def go(folder, make):
      with Cells(folder, {"what": "test"}).held() as cells:
        made = Maker("random_real", make, "random_real", None, True)
        found = continual.compare(
            in_two(toy()), [made],
            cells=cells,
            learner="kd",
            **{
                **SMALL, "recipe": None,
                "joint_steps": 0
            })
      for row in found["rows"]:
        for name in ("seconds", "seconds_making", "seconds_learning"):
          row.pop(name)
      return found["rows"]

    folder = tempfile.mkdtemp()
    with self.assertRaises(KeyboardInterrupt):
      go(f"{folder}/one", failing)
    again = go(f"{folder}/one", failing)
    self.assertLen(calls, 3)  # the set of the first task was kept
    self.assertEqual(again, go(f"{folder}/two", real.make))

  @parameterized.named_parameters(
      ("scenario", dict(scenario="time"), "`scenario` must be one of"),
      ("learner", dict(learner="icarl"), "`learner` must be one of"),
      ("setting", dict(learner={
          "name": "kd",
          "heat": 2
      }), "`learner` 'kd'"),
      ("size", dict(per_class=99), "the smallest class, 12; got 99"),
      ("recipe", dict(recipe={"name": "in_order"}), "must train on any set"), (
          "network", dict(networks="kernel_ridge"),
          "`networks` must be trained by a recipe"),
      ("maker", dict(makers=["magic"]), "`maker` must be one of"), (
          "fixed", dict(makers=[{
              "name": "dd",
              "fixed": True
          }]), "must not fix the initialisation"))
  def test_refuses_before_any_work(self, settings, message):
    cells = Cells()
    with self.assertRaisesRegex(ConfigError, message):
      continual.run(
          toy(),
          cells=cells,
          **{
              **SMALL, "num_tasks": 2,
              "num_orders": 1,
              **settings
          })
    self.assertEmpty(cells._memory)

  def test_refuses_what_a_method_refuses_before_any_work(self):

    def check(task):
      raise ConfigError(f"not with {task.source.num_classes} classes")

    cells, method = Cells(), methods.dm()._replace(check=check)
    with self.assertRaisesRegex(ConfigError, "not with 4 classes"):
      continual.compare(
          in_two(toy()), ["random_real", method], cells=cells, **SMALL)
    self.assertEmpty(cells._memory)


if __name__ == "__main__":
  absltest.main()
