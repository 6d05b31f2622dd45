"""Trajectory methods from the command line: experts, runs, rollbacks."""

import json
from types import SimpleNamespace

import build
import driver
import jax
import jax.numpy as jnp
import launching
import numpy as np
import pytest

from distill_jax import artifact, models, storage
from distill_jax.outer_loop import Distiller, Info, State
from distill_jax.runs.assess import hardened
from distill_jax.trajectories import buffer
from distill_jax.types import Distilled

TINY = (
    "--config.network.width=4", "--config.experts.num_epochs=4",
    "--config.experts.strategy=", "--config.augmentation.strategy=",
    "--config.student.num_steps=2", "--config.segment.highest=3",
    "--config.num_steps=4", "--config.log_every=2",
    "--config.checkpoint_every=2", "--config.recipe.num_epochs=2",
    "--config.recipe.strategy=", "--config.evaluation.num_networks=1",
    "--config.evaluation.baselines=", "--config.figures=false",
)


def _config(method, options="quick,ipc=2"):
  return f"--config={launching.CONFIGS / f'{method}_mnist.py'}:{options}"


def _distil(folder, method, *more):
  return launching.distil(
      _config(method), *TINY, f"--workdir={folder / method}",
      f"--cache_dir={folder}", *more,
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Each method once; MTT and TESLA follow the same experts, DATM and FTD."""
  folder = tmp_path_factory.mktemp("trajectories")
  with launching.compiling_once(folder / "cache"):
    done = {
        method: _distil(folder, method)
        for method in ("mtt", "tesla", "datm", "ftd")
    }
    yield folder, done


def _experts(folder, radius):
  """Where the runs keep those of MTT (radius 0) or of DATM (0.01)."""
  for path in (folder / "experts").iterdir():
    document = storage.document(buffer.path_of(path, 0))
    if document["identity"]["recipe"]["radius"] == radius:
      return path
  raise AssertionError("no such experts")


@pytest.mark.parametrize("method", ["mtt", "tesla", "datm", "ftd"])
def test_distils(runs, method):
  folder, done = runs
  assert done[method].code == 0, done[method].err
  made = artifact.load(folder / method / "distilled.safetensors")
  assert made.method == method and made.num_samples == 20
  assert made.step_sizes.shape == (1,) and made.step_sizes[0] > 0
  assert made.recipe["name"] == ("datm" if method == "datm" else "mtt")
  report = json.loads((folder / method / "report.json").read_text())
  experts = report["experts"]
  assert experts["num"] == 2 and experts["num_epochs"] == 4
  assert len(experts["accuracy"]) == len(experts["seconds"]) == 2
  log = [json.loads(line) for line in
         (folder / method / "metrics.jsonl").read_text().splitlines()]
  assert [line["step"] for line in log] == [2, 4]
  assert all({"loss", "step_size", "rollbacks"} <= set(line) for line in log)


def test_experts_are_shared_by_those_that_ask_for_the_same(runs):
  folder, done = runs
  assert "expert 1 of 2: epoch 1/4" in done["mtt"].err
  assert "expert" not in done["tesla"].err.replace("experts", "")
  assert "expert 1 of 2: epoch 1/4" in done["datm"].err  # those are flat
  assert "expert" not in done["ftd"].err.replace("experts", "")
  assert len(list((folder / "experts").iterdir())) == 2


def test_datm_starts_from_what_experts_say(runs):
  """Samples that an expert gets right, and the mean logits of those experts."""
  folder, done = runs
  assert "with hard labels" in done["datm"].out
  still = _distil(
      folder, "datm", f"--workdir={folder / 'still'}",
      "--config.learning_rate=1e-12", "--config.label_learning_rate=1e-12",
  )
  assert still.code == 0, still.err
  made = artifact.load(folder / "still" / "distilled.safetensors")
  assert made.label_space == "logits" and made.label_regime == "soft_fixed"
  hard = hardened(made).training_set.samples.labels
  np.testing.assert_array_equal(hard, np.eye(10)[np.repeat(range(10), 2)])
  config = launching.configuration("datm_mnist.py", "quick,ipc=2")
  config.network.width = 4
  source = build.source(config)
  network = models.from_spec(config.network, source.num_classes)
  fresh = network.init(jax.random.key(0), source.example)
  opened = buffer.open_buffer(_experts(folder, 0.01), like=fresh["params"])
  logits = np.stack([
      network.apply(variables, made.inputs)[0]
      for variables in opened.variables(4, fresh)
  ])
  classes = np.repeat(range(10), 2)
  for i, label in enumerate(classes):
    right = [each[i] for each in logits if each[i].argmax() == label]
    assert right
    np.testing.assert_allclose(made.labels[i], np.mean(right, 0), atol=1e-4)


def test_goes_on_where_it_was(runs):
  """A run prolonged is the run that was longer from the start."""
  folder, _ = runs
  again = _distil(folder, "mtt", "--config.num_steps=6")
  assert again.code == 0 and "resumed at step 4 of 6" in again.err
  whole = _distil(
      folder, "mtt", f"--workdir={folder / 'whole'}", "--config.num_steps=6"
  )
  assert whole.code == 0
  one, two = (
      artifact.load(folder / name / "distilled.safetensors")
      for name in ("mtt", "whole")
  )
  np.testing.assert_array_equal(one.inputs, two.inputs)
  np.testing.assert_array_equal(one.step_sizes, two.step_sizes)


def test_teacher_labels_are_stored(runs):
  folder, _ = runs
  done = _distil(
      folder, "tesla", f"--workdir={folder / 'taught'}",
      "--config.label_space=probabilities",
  )
  assert done.code == 0, done.err
  made = artifact.load(folder / "taught" / "distilled.safetensors")
  assert made.label_space == "probabilities"
  np.testing.assert_allclose(made.labels.sum(1), 1, rtol=1e-5)
  assert 0 < made.labels.min() and made.labels.max() < 1


def test_experts_given_must_fit(runs, tmp_path):
  folder, _ = runs
  of_mtt = _experts(folder, 0)
  done = _distil(
      folder, "mtt", f"--workdir={tmp_path}/run", f"--experts={of_mtt}"
  )
  assert done.code == 0, done.err
  refused = _distil(
      folder, "datm", f"--workdir={tmp_path}/other", f"--experts={of_mtt}"
  )
  assert refused.code == 2
  assert "recipe.radius is 0.01" in refused.err
  assert not (tmp_path / "other").exists()
  none = _distil(
      folder, "mtt", f"--workdir={tmp_path}/none", f"--experts={tmp_path}"
  )
  assert none.code == 2 and "has 0. Train more of them" in none.err
  other = launching.distil(
      f"--config={launching.CONFIGS / 'dm_mnist.py'}:quick", "--data=digits",
      f"--workdir={tmp_path}/dm", f"--experts={of_mtt}",
      "--config.network.depth=1", "--config.batch_size=8",
  )
  assert other.code == 2 and "`--experts` is for methods that" in other.err


def test_a_spike_stops_the_run_and_harms_nothing(runs):
  """A step size a hundred times too large, after a run that went well."""
  folder, _ = runs
  before = (folder / "tesla" / "distilled.safetensors").read_bytes()
  done = _distil(
      folder, "tesla", f"--workdir={folder / 'spike'}",
      "--config.step_size=100.0", "--config.rollbacks=2",
  )
  assert done.code == 3
  assert "beyond `spike`" in done.err or "not finite" in done.err
  assert "back to step 0, with other draws (2 of 2 times)" in done.err
  assert "after 2 rollbacks" in done.err.splitlines()[-1]
  assert not (folder / "spike" / "distilled.safetensors").exists()
  after = (folder / "tesla" / "distilled.safetensors").read_bytes()
  assert after == before
  artifact.load(folder / "tesla" / "distilled.safetensors")


def test_experts_alone(runs, tmp_path):
  """What is finished stays; the same command adds what is asked for."""
  folder, _ = runs
  command = (_config("mtt"), *TINY, f"--out={tmp_path}/experts")
  first, again, more, other = launching.elsewhere(
      "experts", command, command, (*command, "--config.experts.num=3"),
      (*command, "--config.experts.step_size=0.2", "--config.experts.num=4"),
      cache=folder / "cache",
  )
  assert first.code == 0, first.err
  assert "2 experts of 4 epochs in" in first.out
  assert "% on validation" in first.out
  assert "epoch" not in again.err
  assert "expert 3 of 3" in more.err and "expert 1 of" not in more.err
  assert other.code == 2 and "recipe.step_size is 0.2" in other.err
  for number in range(2):  # as those that a run trains itself
    one, two = (
        buffer.storage.read(buffer.path_of(place, number))[0]["weights"]
        for place in (tmp_path / "experts", _experts(folder, 0))
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("change", "message"), [
    (("segment", "highest", 50), "must end within the experts' 6 epochs"),
    (("segment", "lowest", 3), "must have 0 <= lowest < first"),
    (("segment", "until", 0), "the bound of epochs to start from rises, must"),
    ((None, "start_labels", "experts"), "`start_labels` must be experts with"),
    (("segment", "growth", "fast"), "`segment.growth` must be one of"),
    (("student", "num_steps", 0), "`student.num_steps` must be at least 1"),
    (("experts", "dtype", "float64"), "`experts.dtype` must be one of"),
    ((None, "step_size_floor", 0.0), "`step_size_floor` must be positive"),
    (("experts", "step_size", -0.1), "`experts.step_size` must be positive"),
    ((None, "rollbacks", -1), "`rollbacks` must be at least 0"),
    ((None, "label_space", "soft"), "`label_space` must be one of"),
])
def test_what_is_refused(change, message):
  config = launching.configuration("mtt_mnist.py", "quick,ipc=2")
  part, field, value = change
  (config[part] if part else config)[field] = value
  with pytest.raises(ValueError, match=message):
    build.run(config, build.source(config))


def test_what_is_asked_for_holds_in_quick_too():
  config = launching.configuration("mtt_mnist.py", "quick,experts=3,width=20")
  assert config.experts.num == 3 and config.network.width == 20
  plain = launching.configuration("mtt_mnist.py", "quick")
  assert plain.experts.num == 2 and plain.network.width == 16


def test_other_methods_have_no_experts_to_ask():
  config = launching.configuration("dm_mnist.py", "quick,ipc=2,init=correct")
  config.data, config.batch_size = "digits", 8
  config.network.depth = 1
  with pytest.raises(ValueError, match="are for methods that follow experts"):
    build.run(config, build.source(config))


def _counting_run(skips=False):
  """A run whose loss is bad in step 4, unless it was drawn anew."""

  def step(key, state, data):
    del data
    first = jax.random.key_data(key).sum() == 0
    loss = jnp.where(first & (state.step == 3), jnp.inf, 1.0)
    skipped = dict(skipped=1.0 * ~jnp.isfinite(loss)) if skips else {}
    info = Info(loss, loss, jnp.isfinite(loss), skipped)
    return state._replace(step=state.step + 1), info

  set_ = Distilled(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(0))
  state = State(jnp.zeros((), jnp.int32), set_, (), (), ())
  return SimpleNamespace(
      key=jax.random.key(0), data=(), feed=None, finish=None, measured={},
      state=state,
      distiller=Distiller(None, step, lambda state: state.distilled),
  )


def test_a_skipped_step_is_no_spike(tmp_path):
  config = _Settings(
      num_steps=4, log_every=2, checkpoint_every=2, spike=10.0, rollbacks=0
  )
  driver.train(_counting_run(skips=True), config, tmp_path)
  last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
  assert last["loss"] == 1 and last["skipped"] == 0.5


class _Settings(SimpleNamespace):
  def get(self, name, default):
    return getattr(self, name, default)

  def __contains__(self, name):
    return hasattr(self, name)


@pytest.mark.parametrize("rollbacks", [0, 1])
def test_rolls_back_to_the_last_chunk(tmp_path, capsys, rollbacks):
  config = _Settings(
      num_steps=6, log_every=2, checkpoint_every=2, spike=10.0,
      rollbacks=rollbacks,
  )
  if not rollbacks:
    with pytest.raises(driver.NonFinite, match="not finite at step 4; the"):
      driver.train(_counting_run(), config, tmp_path)
    return
  driver.train(_counting_run(), config, tmp_path)
  said = capsys.readouterr().err
  assert "not finite at step 4: back to step 2, with other draws (1 of" in said
  log = [json.loads(line) for line in
         (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert [line["step"] for line in log] == [2, 4, 6]
  assert [line["rollbacks"] for line in log] == [0, 1, 1]
  assert all(line["loss"] == 1 for line in log)
  longer = _Settings(**vars(config) | dict(num_steps=8))
  driver.train(_counting_run(), longer, tmp_path)  # goes on with other draws
  log = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert json.loads(log[-1])["rollbacks"] == 1
