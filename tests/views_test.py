"""Seeded views, a teacher's labels of them, and training on these."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import some

import distill_jax as dd
from distill_jax import methods, views
from distill_jax.artifact import with_view_labels
from distill_jax.errors import ArtifactError, ConfigError
from distill_jax.evaluation import recipes
from distill_jax.evaluation.relabelling import relabelling_of
from distill_jax.labels import label_rows
from distill_jax.types import Samples, TrainingSet

SIZE, CLASSES = 7, 3
HOW = views.Views("crop", 0.5, 3, 4)
RECIPE = dict(num_epochs=3, strategy="crop", mix=0.5, batch_size=3, seed=4)
NETWORK = dd.mlp(CLASSES, widths=(5,))


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  y = np.arange(30) % CLASSES
  x = rng.uniform(size=(30, 4, 4, 1)) + np.eye(4)[y][:, :, None, None]
  x = (x / 2).astype(np.float32)
  return dd.from_arrays(x, y, x[:9], y[:9])


@pytest.fixture(scope="module")
def made(images):
  method = methods.rded(
      teacher=dict(num_epochs=1, batch_size=8),
      candidates=4,
      num_crops=2,
      recipe=RECIPE | dict(num_views=2))
  return dd.condense(images, method, {"name": "mlp", "widths": [5]}, num_rows=7)


def test_a_view_holds_every_sample_and_repeats_the_first():
  one = views.view(HOW, 0, SIZE)
  assert one.rows.shape == (3, 3)
  order = np.asarray(one.rows).ravel()
  np.testing.assert_array_equal(np.sort(order[:SIZE]), np.arange(SIZE))
  np.testing.assert_array_equal(order[SIZE:], order[:2])
  other = views.view(HOW, 1, SIZE)
  assert not np.array_equal(other.rows, one.rows)
  np.testing.assert_array_equal(views.view(HOW, 0, SIZE).rows, one.rows)


def test_labels_are_what_the_teacher_says_of_the_replayed_batches(made):
  teacher = jax.tree.map(jnp.asarray, made.views["teacher"])
  assert made.views["labels"].shape == (2, 9, CLASSES)
  assert made.views["labels"].dtype == np.float16
  whole = []
  for number in range(2):
    batches = list(views.batches(made, number))
    assert [len(x) for x, _ in batches] == [3, 3, 3]
    for x, labels in batches:
      logits, _ = NETWORK.apply(teacher, jnp.asarray(x))
      np.testing.assert_allclose(logits, labels, rtol=2e-3, atol=2e-3)
    whole.append(np.concatenate([x for x, _ in batches]))
  assert not np.allclose(*whole)
  again = relabelling_of(made, NETWORK).relabel(jnp.asarray(made.inputs))
  np.testing.assert_array_equal(again, made.views["labels"])


@pytest.mark.parametrize("loss", ["kl", "mse", "hard"])
def test_training_equals_a_literal_loop(loss):
  """The recipe against plain Python: one batch after the other.

  Without labels of views the same views are trained on, with mixed classes.
  """
  hard = loss == "hard"
  rng = np.random.default_rng(1)
  x = rng.normal(size=(SIZE, 4, 4, 1)).astype(np.float32)
  y = label_rows(jnp.arange(SIZE) % CLASSES, CLASSES)
  taught = rng.normal(size=(2, 9, CLASSES)).astype(np.float32)
  recipe = recipes.views(
      **RECIPE, num_views=2, loss="kl" if hard else loss, temperature=2.0)
  samples = Samples(
      jnp.asarray(x), y, jnp.zeros(0), (), () if hard else jnp.asarray(taught))
  variables = NETWORK.init(jax.random.key(3), samples.inputs[:1])
  found = recipe.train(
      jax.random.key(5), NETWORK, variables,
      TrainingSet(samples,
                  jnp.arange(SIZE)[None]))

  params, t, total = variables["params"], 0, 9
  optimizer = optax.inject_hyperparams(optax.adamw)(1.0, weight_decay=0.01)
  state = optimizer.init(params)
  for epoch in range(3):
    one = views.view(HOW, epoch % 2, SIZE)
    for b, (rows, key) in enumerate(zip(*one, strict=True)):
      batch, mixed = views.seen(HOW)(key, samples.inputs[rows], y[rows])
      wanted = taught[epoch % 2, 3 * b:3 * b + 3]

      def distance(params, batch=batch, wanted=wanted, mixed=mixed):
        logits = NETWORK.apply({"params": params}, batch)[0]
        if hard:
          return -(mixed * jax.nn.log_softmax(logits)).sum() / 3
        if loss == "mse":
          return jnp.square(logits - wanted).sum() / 6
        p = jax.nn.softmax(wanted / 2.0)
        return -(p * jax.nn.log_softmax(logits / 2.0)).sum() / 3

      rate = 1e-3 * (1 + np.cos(np.pi * t / (2 * total))) / 2
      state.hyperparams["learning_rate"] = jnp.asarray(rate)
      update, state = optimizer.update(
          jax.grad(distance)(params), state, params)
      params, t = optax.apply_updates(params, update), t + 1
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      found["params"], params)


def test_hard_labels_are_mixed_as_the_samples_are():
  x = jnp.arange(6.0)[:, None, None, None] * jnp.ones((1, 4, 4, 1))
  y = jnp.arange(6.0)[:, None]  # a label that equals its pixels
  mixed, labels = views.seen(views.Views("", 1.0, 6,
                                         0))(jax.random.key(1), x, y)
  np.testing.assert_allclose(mixed.mean((1, 2, 3)), labels[:, 0], rtol=1e-5)
  assert not np.allclose(labels, y)


def test_the_ledger_counts_labels_and_apart_from_them_the_teacher(
    made, tmp_path):
  sizes = made.storage_bytes
  assert sizes["views"] == 2 * 9 * CLASSES * 2
  assert sizes["total"] == sizes["samples"] + sizes["labels"] + sizes["views"]
  weights = jax.tree.leaves(made.views["teacher"])
  assert sizes["teacher"] == sum(4 * leaf.size for leaf in weights)
  made.save(tmp_path / "set.safetensors")
  loaded = dd.load(tmp_path / "set.safetensors")
  np.testing.assert_array_equal(loaded.views["labels"], made.views["labels"])
  assert loaded.label_regime == "soft_views"
  assert loaded.views["labels"].dtype == np.float16
  plain = loaded.without_views()
  assert plain.label_regime == "hard" and plain.hard_rows
  plain.save(tmp_path / "plain.safetensors")
  saved = [(tmp_path / n).stat().st_size
           for n in ("set.safetensors", "plain.safetensors")]
  assert saved[0] - saved[1] >= sizes["views"] + sizes["teacher"]
  small = dd.quantise(made, bits=8)
  assert small.storage_bytes["views"] == sizes["views"]
  small.save(tmp_path / "small.safetensors")
  again = dd.load(tmp_path / "small.safetensors")
  assert again.label_regime == "soft_views" and again.quantisation


def test_rows_are_printed_together(made, images):
  report = dd.evaluate(
      made,
      images,
      num_networks=2,
      baselines="random_real",
      num_sets=1,
      networks_per_set=2)
  assert set(report["baselines"]) == {"random_real", "relabelled_real"}
  assert report["hard_label_accuracy"]["mean"] >= 0
  assert "real, same labels" in str(report)
  assert f"{made.storage_bytes['views']:,} of them labels" in " ".join(
      str(report).split())
  again = dd.evaluate(
      made._replace(views={"labels": made.views["labels"]}),
      images,
      num_networks=1,
      baselines="")
  assert not again["baselines"]  # nobody there to label others


def test_another_recipe_trains_on_the_classes_alone(made, images):
  few = dict(num_networks=1, baselines="")
  report = dd.evaluate(made, images, recipe="converged", **few)
  assert report["label_regime"] == "hard"
  report = dd.evaluate(
      made, images, recipe=dict(name="views", num_epochs=1), **few)
  assert report["label_regime"] == "soft_views"
  assert report["recipe"]["batch_size"] == RECIPE["batch_size"]
  dd.evaluate(made, images, recipe="views", **few)  # its own
  with pytest.raises(ConfigError, match="views that the set has labels of"):
    dd.evaluate(made, images, recipe=dict(name="views", batch_size=2), **few)


@pytest.mark.parametrize(
    "kind", some(["table", "series", "binary"], ["binary"]))
def test_samples_that_are_no_images(kind):
  shape = dict(table=(5,), series=(6, 2), binary=(5,))[kind]
  y = np.arange(20) % (2 if kind == "binary" else 3)
  x = np.random.default_rng(0).normal(size=(20, *shape)) + y.reshape(
      -1, *[1] * len(shape))
  source = dd.from_arrays(
      x, y, x[:6], y[:6],
      **dict(kind="series") if kind == "series" else {})
  method = methods.rded(
      teacher=dict(num_epochs=1, batch_size=8),
      candidates=3,
      recipe=dict(num_epochs=1, batch_size=4))
  made = dd.condense(source, method, per_class=2)
  assert made.views["labels"].shape[2] == made.labels.shape[1]
  assert made.recipe["strategy"] == "" and made.recipe["mix"] == 0
  dd.evaluate(made, source, num_networks=1, baselines="")


def test_what_cannot_be_is_refused(made, images):
  with pytest.raises(ArtifactError, match="without_views"):
    dd.merge([made, made])
  plain = made.without_views()
  dd.merge([plain, plain])
  with pytest.raises(ConfigError, match="labels of views"):
    next(views.batches(plain, 0))
  with pytest.raises(ConfigError, match=r"\[0, 2\)"):
    next(views.batches(made, 2))
  for labels in (np.zeros((2, 3, CLASSES), np.float16), np.zeros(
      (0, 9, CLASSES), np.float16), np.zeros((2, 9, CLASSES), np.float64)):
    with pytest.raises(ArtifactError, match="views/labels"):
      with_view_labels(plain, labels)
  with pytest.raises(ArtifactError, match="recipe"):
    dd.save(made._replace(recipe=dict(name="dsa")), "nowhere")
  with pytest.raises(ArtifactError, match="label_regime"):
    dd.save(made._replace(label_regime="hard"), "nowhere")
  with pytest.raises(ConfigError, match="able to store real crops"):
    methods.rded(parameterization=dict(name="linear_bases", num_bases=2))
  methods.rded(
      parameterization=dict(
          name="quantised", bits=8, inner=dict(name="pixels")))
  with pytest.raises(ConfigError, match="`start`|'start'"):
    methods.cim(start="noise")
  with pytest.raises(ConfigError, match="below the"):
    dd.condense(images, methods.cim(stage=9), dd.mlp(CLASSES), per_class=1)
  with pytest.raises(ConfigError, match="batch norms"):
    dd.condense(images, methods.sre2l(), dd.mlp(CLASSES), per_class=1)


def test_a_given_teacher_is_taken(made, images, tmp_path):
  made.save(tmp_path / "set.safetensors")
  method = methods.cim(
      teacher=dict(file=str(tmp_path / "set.safetensors")),
      num_steps=2,
      stage=0,
      candidates=4,
      recipe=RECIPE)
  other = dd.condense(
      images, method, {
          "name": "mlp",
          "widths": [5]
      }, per_class=1)
  jax.tree.map(
      np.testing.assert_array_equal, other.views["teacher"],
      made.views["teacher"])
  for other in (dict(widths=[6]), dict(widths=[5], initialisation="he_normal")):
    with pytest.raises(ConfigError, match="teacher's network.*is another"):
      dd.condense(images, method, dict(name="mlp", **other), per_class=1)


def test_a_network_of_lists_keeps_its_teacher(images, tmp_path):
  """Files hold tuples; the teacher is poured back into the user's lists."""

  def init(key, example):
    del example
    return [0.1 * jax.random.normal(key, (16, CLASSES)), jnp.zeros(CLASSES)]

  def apply(params, x):
    return x.reshape(len(x), -1) @ params[0] + params[1]

  network = dd.from_functions(init, apply)
  settings = dict(candidates=4, num_crops=0, recipe=RECIPE)
  taught = methods.rded(teacher=dict(num_epochs=1, batch_size=8), **settings)
  own = dd.condense(images, taught, network, per_class=1)
  own.save(tmp_path / "own.safetensors")
  assert relabelling_of(dd.load(tmp_path / "own.safetensors"), network)
  given = methods.rded(
      teacher=dict(file=str(tmp_path / "own.safetensors")), **settings)
  again = dd.condense(images, given, network, per_class=1)
  jax.tree.map(
      np.testing.assert_array_equal, own.views["teacher"],
      again.views["teacher"])


def test_a_teacher_that_diverges_is_named(images):
  method = methods.rded(
      teacher=dict(num_epochs=1, batch_size=8, learning_rate=1e30))
  with pytest.raises(ConfigError, match="the teacher diverged"):
    dd.condense(images, method, {"name": "mlp", "widths": [5]}, per_class=1)
