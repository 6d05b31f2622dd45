"""Trajectory methods from the command line: experts, and runs on them."""

import json

import jax
import launching
import numpy as np
import pytest

from distill_jax import artifact, models, storage
from distill_jax.runs.assess import hardened
from distill_jax.trajectories import buffer

FIELDS = (
    "--config.network.depth=1", "--config.network.width=4",
    "--config.method.experts.num_epochs=4", "--config.method.experts.strategy=",
    "--config.method.strategy=", "--config.method.student.num_steps=2",
    "--config.method.segment.highest=3", "--config.method.num_steps=4",
    "--config.method.recipe.num_epochs=2", "--config.method.recipe.strategy=")


def _config(method):
  file = launching.CONFIGS / f"{method}.py"
  return (f"--config={file}:quick,ipc=2", *FIELDS)


def _distil(folder, method, *more):
  return launching.distil(
      *_config(method), *launching.FEW, f"--workdir={folder / method}",
      f"--cache_dir={folder}", *more)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """DATM, whose samples, labels and step size do not move: its start."""
  folder = tmp_path_factory.mktemp("trajectories")
  result = _distil(
      folder, "datm", "--config.method.learning_rate=1e-12",
      "--config.method.label_learning_rate=1e-12")
  return folder, result


def test_distils(run):
  folder, result = run
  assert result.code == 0, result.err
  made = artifact.load(folder / "datm" / "distilled.safetensors")
  assert made.method == "datm" and made.num_samples == 20
  assert made.step_sizes.shape == (1,) and made.step_sizes[0] > 0
  assert made.recipe["name"] == "datm"
  report = json.loads((folder / "datm" / "report.json").read_text())
  experts = report["experts"]
  assert experts["num"] == 2 and experts["num_epochs"] == 4
  assert len(experts["accuracy"]) == len(experts["seconds"]) == 2
  log = [
      json.loads(line)
      for line in (folder / "datm" / "metrics.jsonl").read_text().splitlines()
  ]
  assert [line["step"] for line in log] == [2, 4]
  assert all({"loss", "step_size", "rollbacks"} <= set(line) for line in log)


def test_it_starts_from_what_experts_say(run):
  """Samples that an expert gets right, and the mean logits of those experts."""
  folder, result = run
  assert "with hard labels" in result.out
  made = artifact.load(folder / "datm" / "distilled.safetensors")
  assert made.label_space == "logits" and made.label_regime == "soft_fixed"
  classes = np.repeat(range(10), 2)
  hard = hardened(made).training_set.samples.labels
  np.testing.assert_array_equal(hard, np.eye(10)[classes])
  network = models.from_spec(made.network, 10)
  fresh = network.init(jax.random.key(0), made.inputs[:1])
  experts, = (folder / "experts").iterdir()
  opened = buffer.open_buffer(experts, like=fresh["params"])
  logits = np.stack([
      network.apply(variables, made.inputs)[0]
      for variables in opened.variables(4, fresh)
  ])
  for i, label in enumerate(classes):
    right = [each[i] for each in logits if each[i].argmax() == label]
    assert right
    np.testing.assert_allclose(made.labels[i], np.mean(right, 0), atol=1e-4)


def test_experts_alone(run, tmp_path):
  """What is finished stays; the same command adds what is asked for."""
  folder, _ = run
  command = (*_config("datm"), f"--out={tmp_path}/experts")
  first, more, other, none = launching.elsewhere(
      "experts", command, (*command, "--config.method.experts.num=3"),
      (*command, "--config.method.experts.step_size=0.2"),
      (f"--config={launching.CONFIGS / 'dm.py'}", f"--out={tmp_path}/none"))
  assert first.code == 0, first.err
  assert "2 experts of 4 epochs in" in first.out
  assert "% on validation" in first.out
  assert "expert 3 of 3" in more.err and "expert 1 of" not in more.err
  assert other.code == 2 and "recipe.step_size is 0.2" in other.err
  assert none.code == 2 and "`method` must follow experts" in none.err
  own, = (folder / "experts").iterdir()
  for number in range(2):  # as those that a run trains itself
    one, two = (
        storage.read(buffer.path_of(place, number))[0]["weights"]
        for place in (tmp_path / "experts", own))
    np.testing.assert_array_equal(one, two)


def test_experts_given_must_fit(run, tmp_path):
  folder, _ = run
  own, = (folder / "experts").iterdir()
  refused = _distil(
      folder, "mtt", f"--workdir={tmp_path}/other", f"--experts={own}",
      "--config.method.experts.radius=0.01")
  assert refused.code == 2 and "recipe.radius is 0.01" in refused.err
  none = _distil(
      folder, "datm", f"--workdir={tmp_path}/none", f"--experts={tmp_path}")
  assert none.code == 2 and "has 0. Train more of them" in none.err
