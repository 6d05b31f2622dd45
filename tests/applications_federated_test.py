"""One-shot federated learning: partitions, bytes, averaging, and going on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import distill_jax as dd
from distill_jax import methods, nn
from distill_jax.applications import Cells, federated, partition
from distill_jax.applications.averaging import _trained, fedavg, traffic
from distill_jax.applications.cells import key_of
from distill_jax.applications.clients import Options, collect
from distill_jax.applications.makers import maker
from distill_jax.applications.upload import Format
from distill_jax.errors import ArtifactError, ConfigError, DataError
from distill_jax.evaluation.probes import linear_probe
from distill_jax.methods.condensing import condense_each

NETWORK = {"name": "mlp", "widths": [8]}
RECIPE = {"name": "adam", "num_epochs": 3, "batch_size": 8}


@pytest.fixture(scope="module")
def table():
  y = np.arange(120) % 4
  x = np.random.default_rng(0).normal(size=(120, 6)) + 2 * np.eye(6)[y]
  return dd.from_arrays(x, y, x_test=x[:20] + 0.1, y_test=y[:20])


@pytest.fixture(scope="module")
def images():
  y = np.arange(40) % 4
  x = np.random.default_rng(1).integers(0, 256, (40, 4, 4, 1), np.uint8)
  return dd.from_arrays(x, y, x_test=x[:8], y_test=y[:8])


def _labels(source):
  return np.asarray(source.train.labels)


# ------------------------------------------------------------------ partition


def test_every_row_has_one_client():
  labels = np.random.default_rng(0).integers(0, 5, 203)
  for clients in (partition.by_classes(labels, 7), partition.by_classes(labels,
                                                                        7, 2),
                  partition.dirichlet(labels, 7, 0.1)):
    rows = np.concatenate(clients)
    np.testing.assert_array_equal(np.sort(rows), np.arange(203))


def test_client_i_holds_the_classes_from_i_on():
  labels = np.repeat(np.arange(4), 10)
  clients = partition.by_classes(labels, 6, 2)
  held = [sorted(set(labels[rows])) for rows in clients]
  assert held == [[0, 1], [1, 2], [2, 3], [0, 3], [0, 1], [1, 2]]
  # Class 1 is with clients 0, 1, 4 and 5: 2 rows each, the last has 4.
  assert [int((labels[rows] == 1).sum()) for rows in clients
         ] == [2, 2, 0, 0, 2, 4]


@pytest.mark.parametrize(
    "make, words",
    [(lambda y: partition.by_classes(y, 2, 1), "`num_clients` must be at"),
     (lambda y: partition.by_classes(y, 2, 9), "at most 4; got 9"),
     (lambda y: partition.by_classes(y, 0), "`num_clients` must be a whole"),
     (lambda y: partition.dirichlet(y, 2, 0.0), "`alpha` must be positive")])
def test_refuses_partitions(make, words):
  with pytest.raises(ConfigError, match=words):
    make(np.arange(12) % 4)


# -------------------------------------------------------------------- uploads


def _random(source, num=4):
  return maker("random_real").make(key_of(0), source, num, None)


def test_pixels_travel_as_they_are(images):
  made = _random(images)
  form = Format.of(made, values="pixels")
  content = form.pack(made)
  assert len(content) == 4 * (4 * 4 * 1 + 1)
  inputs, labels = form.unpack(content, images.preprocessing)
  np.testing.assert_allclose(inputs, made.inputs, atol=1e-6)
  np.testing.assert_array_equal(labels, made.labels)


@pytest.mark.parametrize(
    "values, size, error", [("float32", 4, 0.0), ("float16", 2, 2e-3),
                            ("uint8", 1, None)])
def test_values_are_rounded_by_their_format(table, values, size, error):
  made = _random(table)
  form = Format.of(made, values=values, hard=False)
  content = form.pack(made)
  head = 8 if values == "uint8" else 0
  assert len(content) == head + 4 * (6 * size + 4 * 4)
  inputs, labels = form.unpack(content, table.preprocessing)
  if error is None:  # half a step
    error = np.ptp(made.inputs) / 255 / 2 * 1.001
  assert np.abs(inputs - made.inputs).max() <= error
  np.testing.assert_array_equal(labels, made.labels)


def test_refuses_a_part_of_a_sample(table):
  form = Format.of(_random(table))
  with pytest.raises(ConfigError, match="whole samples of 25 bytes"):
    form.unpack(b"0" * 26, table.preprocessing)


def test_bytes_are_those_of_the_files(images, tmp_path):
  clients = partition.by_classes(_labels(images), 3)
  for name, each in (("kmeans", 4 * 16 + 1), ("random_real", 16 + 1)):
    with Cells(tmp_path / name, {}).held() as cells:
      union = collect(images, clients, name, cells=cells)
      files = [*(tmp_path / name / "uploads" / name).iterdir()]
    assert union.bytes == sum(file.stat().st_size for file in files)
    assert union.bytes == union.num_samples * each and len(files) == 3


def test_as_many_real_samples_as_the_bytes_allow(images):
  clients = partition.by_classes(_labels(images), 2)
  union = collect(images, clients, "random_real", budgets=[5 * 17 + 16, 17])
  assert np.bincount(union.from_client).tolist() == [5, 1]


def test_a_client_that_leaves_takes_its_rows_along(table):
  clients = partition.by_classes(_labels(table), 4)
  one = collect(table, clients, "kmeans", samples_per_class=2)
  other = collect(
      table, [*clients[:2], np.arange(0), clients[3]],
      "kmeans",
      samples_per_class=2)
  kept = one.from_client != 2
  np.testing.assert_array_equal(
      one.training_set.samples.inputs[kept], other.training_set.samples.inputs)


def test_weights_follow_the_sizes(table):
  clients = [np.arange(0, 24), np.arange(24, 120)]
  union = collect(table, clients, "random_real", options=Options(weighted=True))
  sums = union.training_set.samples.labels.sum(1)
  np.testing.assert_allclose(sums, np.repeat([0.4, 1.6], 4), rtol=1e-6)


def test_noise_is_added_by_clients(table):
  clients = partition.by_classes(_labels(table), 2)
  plain = collect(table, clients, "random_real", samples_per_class=8)
  noisy = collect(
      table,
      clients,
      "random_real",
      samples_per_class=8,
      options=Options(noise=0.5))
  added = noisy.training_set.samples.inputs - plain.training_set.samples.inputs
  assert abs(added.std() - 0.5) < 0.05


def test_odd_clients(table):
  """One class, three samples, none at all."""
  labels = _labels(table)
  clients = [
      np.flatnonzero(labels == 1)[:3],
      np.arange(0),
      np.array([0]),
      np.arange(4, 60)
  ]
  found = federated.compare(
      table, [methods.dm(num_steps=2), "kmeans"],
      clients=clients,
      samples_per_class=5,
      client_network=NETWORK,
      network=NETWORK,
      recipe=RECIPE,
      num_networks=1,
      rounds=(1,),
      local_epochs=1,
      full_data=False)
  assert found["settings"]["without_data"] == [1]
  assert [row["num_samples"] for row in found["rows"]
         ] == [3 + 1 + 20, 24, 24, None]
  assert "kmeans" in repr(found) and found.figure()


def test_refuses_clients_without_data(table):
  with pytest.raises(ConfigError, match="`clients` must hold samples"):
    collect(table, [np.arange(0)], "kmeans")
  with pytest.raises(DataError, match="must have a test part"):
    federated.compare(table._replace(test=None))


@pytest.mark.parametrize(
    "wrong, words",
    [(dict(clients=[np.array([500])]), "`clients` must be rows 0..119"),
     (dict(clients=[[0.5, 1.0]]), "`clients` must be rows of the training"),
     (dict(clients="all"), "`clients` must be a list"),
     (dict(num_networks=0), "`num_networks` must be a whole number"),
     (dict(num_networks=1.5), "`num_networks` must be a whole number"),
     (dict(rounds=(-1,)), "`rounds` must be whole numbers"),
     (dict(rounds=(2, 1)), "`rounds` must be whole numbers"),
     (dict(options=dict(values="int8")), "`values` must be one of"),
     (dict(options=dict(value="uint8")), "Did you mean 'values'"),
     (dict(options=Options(noise=-1.0)), "`noise` must be a number"),
     (dict(network=nn.mlp(1)), "`network` must have"),
     (dict(recipe="nope"), "`recipe` must be one of"),
     (dict(makers=[methods.frozen_features(),
                   methods.idc()]), "must")])
def test_refuses_before_any_set_is_made(table, wrong, words):

  def make(*given):
    raise AssertionError("made")

  spy = maker("kmeans")._replace(make=make)
  given = dict(makers=[spy], clients=[np.arange(60)], network=NETWORK) | wrong
  with pytest.raises(ValueError, match=words):
    federated.compare(table, **given)


def test_masks_and_names_of_classes(table):
  labels = np.array(table.class_names)[_labels(table)]
  masks = [np.arange(120) < 20, np.zeros(120, bool), np.arange(120) >= 20]
  found = collect(table, masks, "random_real", options=Options(weighted=True))
  assert np.bincount(found.from_client).tolist() == [4, 0, 4]
  rows = partition.by_classes(labels, 4, 1)
  assert [set(_labels(table)[r]) for r in rows] == [{0}, {1}, {2}, {3}]


# ------------------------------------------------------- sets made together


@pytest.mark.parametrize(
    "method", [
        methods.dm(num_steps=3, batch_size=8),
        pytest.param(
            methods.sldd(num_steps=3, batch_size=8, epochs=1),
            marks=pytest.mark.slow)
    ],
    ids=lambda m: m.name)
def test_sets_of_equal_shapes_are_those_made_alone(table, method):
  shards = [table.take(np.arange(i, 120, 3)) for i in range(2)]
  keys = [jax.random.key(i) for i in range(2)]
  seen = []
  together = condense_each(
      shards,
      method,
      NETWORK,
      per_class=1,
      keys=keys,
      on_made=lambda i, made: seen.append(i))
  assert seen == [0, 1]
  for shard, key, one in zip(shards, keys, together, strict=True):
    alone = dd.condense(shard, method, NETWORK, per_class=1, key=key)
    np.testing.assert_allclose(one.inputs, alone.inputs, atol=1e-6)
    np.testing.assert_allclose(one.labels, alone.labels, atol=1e-6)


def test_one_client_is_the_method_itself(table):
  method = methods.dm(num_steps=3, batch_size=8)
  union = collect(
      table, [np.arange(120)], method, samples_per_class=2, network=NETWORK)
  made = dd.condense(table, method, NETWORK, per_class=2, key=key_of(0, 0, 0))
  np.testing.assert_array_equal(union.training_set.samples.inputs, made.inputs)


@pytest.mark.parametrize(
    "kind", ("sufficient_statistics_set", "class_means_and_covariance"))
def test_probes_of_clients_become_the_probe_of_all(kind, table):
  """By NumPy: ridge regression on all data, the clients' ridges added."""
  kept = methods.frozen_features(kind=kind, ridge=1e-2)
  clients = partition.by_classes(_labels(table), 4, 1)
  union = collect(table, clients, kept, samples_per_class=8)
  own = union.training_set.samples.extra["probe"]
  x = np.float64(table.train.encode(table.train.inputs))
  y = np.eye(4)[_labels(table)]
  z = x - x.mean(0)
  weights = np.linalg.solve(
      z.T @ z + float(own["ridge"]) * np.eye(6), z.T @ (y - y.mean(0)))
  expected = (z @ weights + y.mean(0)).argmax(1)
  predict = linear_probe().fit(jax.random.key(0), union.training_set)
  np.testing.assert_array_equal(predict(jnp.float32(x)), expected)
  report = federated.server(table, union)
  assert report.num_networks == 1 and report.mean > 0.5


def test_probes_without_sums_are_not_joined(table):
  clients = partition.by_classes(_labels(table), 4, 2)
  with pytest.raises(ArtifactError, match="must keep the sums.*of kind"):
    collect(table, clients, methods.frozen_features())


# ------------------------------------------------------------------ averaging


def test_one_full_step_of_all_clients_is_one_step_on_all_data(table):
  linear = nn.mlp(4, widths=())
  clients = [np.arange(0, 20), np.arange(20, 120)]
  found = fedavg(
      jax.random.key(0),
      linear,
      table.train,
      table.test,
      clients,
      num_rounds=3,
      local_epochs=1,
      step_size=0.5,
      momentum=0.0,
      batch_size=100)
  key, _ = jax.random.split(jax.random.key(0))
  params = linear.init(key, table.example)
  x = table.train.encode(table.train.inputs)
  y = jax.nn.one_hot(table.train.labels, 4)

  def loss(params):
    return -(y * jax.nn.log_softmax(linear.apply(params, x)[0])).sum(1).mean()

  for accuracy in found:
    params = jax.tree.map(
        lambda w, g: w - 0.5 * g, params,
        jax.grad(loss)(params))
    said = linear.apply(params, table.test.encode(table.test.inputs))[0]
    assert accuracy == pytest.approx(
        float((said.argmax(1) == table.test.labels).mean()))


def test_padding_of_small_clients_changes_nothing(table):
  network, optimizer = nn.mlp(4, widths=()), optax.sgd(0.1, 0.9)
  variables = network.init(jax.random.key(0), table.example)
  made = [
      _trained(
          jax.random.key(1),
          variables,
          table.train,
          jnp.asarray(np.resize(np.arange(3), longest)),
          3,
          network=network,
          num_epochs=4,
          optimizer=optimizer,
          batch_size=size) for longest, size in ((3, 3), (9, 3), (9, 8))
  ]
  for other in made[1:]:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), made[0],
        other)


def test_order_of_clients_samples_does_not_depend_on_x64(table):
  """Kernels on the clients ask for float64; the baseline must not move."""
  network = nn.mlp(4, widths=(8,))

  def averaged():
    variables = network.init(jax.random.key(0), table.example)
    return _trained(
        jax.random.key(1),
        variables,
        table.train,
        jnp.arange(12),
        jnp.int32(12),
        network=network,
        num_epochs=1,
        optimizer=optax.sgd(0.5),
        batch_size=4)

  usual = averaged()
  with jax.enable_x64(True):
    wide = averaged()
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), usual, wide)


def test_traffic_counts_weights_both_ways(table):
  network = nn.mlp(4, widths=(8,))
  weights = 6 * 8 + 8 + 8 * 4 + 4
  assert traffic(network, table.example, 10) == 2 * 10 * weights * 4


# ------------------------------------------------------------------- going on


def test_goes_on_where_it_was_stopped(table, tmp_path, monkeypatch):
  settings = dict(
      num_clients=2,
      makers=["kmeans", {
          "name": "dm",
          "num_steps": 2,
          "batch_size": 8
      }],
      network=NETWORK,
      client_network=NETWORK,
      recipe=RECIPE,
      num_networks=2,
      rounds=[1],
      same_bytes=False,
      local_epochs=1,
      full_data=False)
  whole = federated.run(table, **settings)
  for stop in (1, 3, 2):
    made = 0
    original = Cells._get

    def stopped(self, name, *args, original=original, stop=stop):
      nonlocal made
      if not self.done(name):
        made += 1
        if made > stop:
          raise KeyboardInterrupt
      return original(self, name, *args)

    with monkeypatch.context() as patched:
      patched.setattr(Cells, "_get", stopped)
      with pytest.raises(KeyboardInterrupt):
        with Cells(tmp_path, settings).held() as cells:
          federated.run(table, cells=cells, **settings)
  with Cells(tmp_path, settings).held() as cells:
    found = federated.run(table, cells=cells, **settings)
  assert _measured(found) == _measured(whole)
  with pytest.raises(dd.errors.WorkdirError, match="num_clients"):
    with Cells(tmp_path, dict(settings, num_clients=4)).held():
      pass


def test_refused_settings_leave_the_folder_free(table, tmp_path):
  for settings in (dict(partition="other"), dict(num_clients=0)):
    with pytest.raises(ConfigError):
      with Cells(tmp_path, settings).held() as cells:
        federated.run(table, cells=cells, **settings)
  assert not list(tmp_path.iterdir())


def _measured(found):
  return [{
      k: v for k, v in row.items() if k != "seconds"
  } for row in found["rows"]]
