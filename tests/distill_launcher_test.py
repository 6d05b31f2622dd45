"""One run of `distill.py` from command line to files, and what follows it."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import launching
import numpy as np
import pytest
from launching import DIGITS, TINY, Result

import distill_jax
from distill_jax import artifact, data, models
from distill_jax.methods.method import Keys
from distill_jax.quantising import quantise

NETWORK = dict(name="convnet", depth=1, width=4)
COMMAND = (
    DIGITS,
    *TINY,
    "--config.method.num_steps=40",
    "--config.log_every=20",
    "--config.evaluation.num_networks=4",
    "--config.figures=true",
    "--config.evaluation.baselines=random_real",
    "--config.evaluation.full_data=true",
    # Prolonging then compiles nothing anew.
    "--config.method.schedule=constant")


class Trained(NamedTuple):
  folder: Path
  result: Result

  def json(self, name):
    return json.loads((self.folder / name).read_text())

  @property
  def artifact(self):
    return artifact.load(self.folder / "distilled.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """One finished run; tests leave it as it is."""
  folder = tmp_path_factory.mktemp("launcher")
  result = launching.distil(*COMMAND, f"--workdir={folder / 'run'}")
  return Trained(folder / "run", result)


def _accuracies(report):
  return report["accuracy"]["per_network"]


def _evaluated_here(key, trained):
  """Accuracies of four networks by the library alone."""
  distilled = trained.artifact
  source = data.read("digits", preprocessing=distilled.preprocessing)
  report = distill_jax.evaluate_set(
      key,
      distilled,
      source.test,
      num_networks=4,
      network=models.from_spec(distilled.network, 10))  # fmt: skip
  return report.accuracy


def test_files(trained):
  assert trained.result.code == 0, trained.result.err
  names = set(launching.contents(trained.folder))
  assert names >= {
      "config.json", "metrics.jsonl", "distilled.safetensors", "report.json",
      "report.html", "checkpoints", "figures/curves.png", "figures/samples.png",
      "figures/baselines.png"
  }  # fmt: skip
  assert any(name.startswith("checkpoints/") for name in names)
  for figure in (trained.folder / "figures").iterdir():
    assert figure.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_config(trained):
  record = trained.json("config.json")
  assert record.keys() >= {
      "config", "data", "fingerprint", "seed", "versions", "device",
      "git_revision", "command"
  }  # fmt: skip
  assert record["config"]["network"].items() >= NETWORK.items()
  assert record["data"] == "digits" and record["seed"] == 0
  assert "--config.method.num_steps=40" in record["command"]


def test_metrics(trained):
  text = (trained.folder / "metrics.jsonl").read_text()
  rows = [json.loads(line) for line in text.splitlines()]
  assert [row["step"] for row in rows] == [20, 40]
  for row in rows:
    assert row.keys() >= {"seconds", "loss", "grad_norm", "accuracy"}
    assert all(np.isfinite(value) for value in row.values())
  assert rows[1]["seconds"] > rows[0]["seconds"] > 0


def test_report(trained):
  report = trained.json("report.json")
  assert report["schema_version"] == 1
  assert report.keys() >= {
      "accuracy", "student_init", "num_networks", "network", "recipe",
      "label_regime", "selection", "baselines", "macro_f1", "majority_rate",
      "accuracy_on_set", "full_data_accuracy", "ratio", "num_samples",
      "storage_bytes", "seconds", "data", "seed", "device", "versions",
      "command"
  }  # fmt: skip
  for block in (report["accuracy"], *report["baselines"].values()):
    assert block.keys() >= {"mean", "std", "stderr", "per_network"}
    assert all(0 <= value <= 1 for value in block["per_network"])
    np.testing.assert_allclose(block["mean"], np.mean(block["per_network"]))
  assert set(report["baselines"]) == {"random_real"}
  assert len(_accuracies(report)) == report["num_networks"] == 4
  assert report["student_init"] == "random"
  assert report["label_regime"] == "soft_fixed"
  assert report["selection"] == "last"
  assert report["num_samples"] == 10 and report["seed"] == 0
  assert report["storage_bytes"].keys() >= {
      "samples", "labels", "decoder", "total"
  }
  assert report["seconds"].keys() == {"distill", "evaluate", "step"}
  assert 0 < report["seconds"]["step"] < report["seconds"]["distill"]
  assert report["memory_bytes"] > 0
  assert report["data"] == dict(
      spec="digits", fingerprint=trained.json("config.json")["fingerprint"])
  for name in ("distilled set", "random real", "all data"):
    assert name in trained.result.out


def test_artifact(trained):
  distilled = trained.artifact
  assert distilled.inputs.shape == (10, 8, 8, 1)
  assert distilled.labels.shape == (10, 10)
  assert len(distilled.step_sizes) == 2 and (distilled.step_sizes > 0).all()
  assert distilled.method == "sldd" and distilled.student_init == "random"
  assert distilled.recipe["name"] == "in_order"
  assert distilled.network.items() >= NETWORK.items()
  assert distilled.provenance["seed"] == 0


def test_report_is_what_the_saved_set_gives(trained):
  key = Keys.of(jax.random.key(0)).evaluate
  np.testing.assert_allclose(
      _accuracies(trained.json("report.json")), _evaluated_here(key, trained))


def test_second_run_changes_nothing(trained, tmp_path):
  folder = shutil.copytree(trained.folder, tmp_path / "run")
  before = launching.contents(folder)
  report = trained.json("report.json")
  command = [*COMMAND, f"--workdir={folder}"]
  done = launching.distil(*command)
  assert done.code == 0 and "it is finished" in done.err
  assert "Verdict: " in done.out and "evaluating" not in done.err
  assert launching.contents(folder) == before
  again = launching.distil(*command, "--again")
  assert again.code == 0 and "resumed at step 40 of 40" in again.err
  after = launching.contents(folder)
  assert after.keys() == before.keys()
  written_anew = ("config.json", "report.json", "report.html", "figures/")
  for name in before:
    if not name.startswith(written_anew):
      assert after[name] == before[name], name
  now = json.loads((folder / "report.json").read_text())
  for name in ("accuracy", "baselines", "full_data_accuracy"):
    assert now[name] == report[name]
  assert now["seconds"]["distill"] == report["seconds"]["distill"]


def test_prolonged(trained, tmp_path):
  folder = shutil.copytree(trained.folder, tmp_path / "run")
  result = launching.distil(
      *COMMAND, f"--workdir={folder}", "--config.method.num_steps=60",
      "--config.evaluation.baselines=", "--config.figures=false",
      "--config.evaluation.full_data=false")  # fmt: skip
  assert result.code == 0 and "resumed at step 40 of 60" in result.err
  rows = (folder / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(row)["step"] for row in rows] == [20, 40, 60]
  old = (trained.folder / "metrics.jsonl").read_text().splitlines()
  assert rows[:2] == old
  prolonged = artifact.load(folder / "distilled.safetensors")
  assert (prolonged.inputs != trained.artifact.inputs).any()
  record = json.loads((folder / "config.json").read_text())
  assert record["config"]["method"]["num_steps"] == 60


def test_evaluate_agrees(trained, tmp_path):
  out, small = tmp_path / "report.json", tmp_path / "small.json"
  command = [
      f"--artifact={trained.folder / 'distilled.safetensors'}", "--data=digits"
  ]
  result, quantised = launching.elsewhere(
      "evaluate", [*command, "--num_networks=4", f"--out={out}"], [
          *command, "--num_networks=1", "--baselines=", "--bits=4",
          f"--out={small}"
      ])  # fmt: skip
  assert result.code == 0, result.err
  assert quantised.code == 0, quantised.err
  fewer = json.loads(small.read_text())
  assert fewer["quantisation"]["bits"] == 4
  assert fewer["storage_bytes"] == quantise(trained.artifact, 4).storage_bytes
  assert "distilled set" in result.out
  assert f"written to {out}, {out.with_suffix('.html')}" in result.out
  assert "<h1>" in out.with_suffix(".html").read_text()
  own, other = trained.json("report.json"), json.loads(out.read_text())
  for name in ("schema_version", "student_init", "num_networks", "network",
               "recipe", "label_regime", "num_samples", "storage_bytes", "data",
               "majority_rate"):  # fmt: skip
    assert other[name] == own[name], name
  np.testing.assert_allclose(
      _accuracies(other), _evaluated_here(jax.random.key(0), trained))
  error = np.hypot(own["accuracy"]["stderr"], other["accuracy"]["stderr"])
  difference = own["accuracy"]["mean"] - other["accuracy"]["mean"]
  assert abs(difference) < 5 * error


def test_a_loss_that_is_not_finite(trained, tmp_path):
  folder = tmp_path / "run"
  result = launching.distil(
      *COMMAND, f"--workdir={folder}", "--config.method.step_size=1e30")
  assert result.code == 3
  error = result.err.splitlines()[-1]
  for part in ("error: ", "not finite at step 1;", "the start", "clip_norm"):
    assert part in error
  assert not (folder / "distilled.safetensors").exists()
  assert not list((folder / "checkpoints").iterdir())


def test_print_config_shows_what_was_published():
  config = launching.CONFIGS / "dm.py"
  result = launching.distil(
      f"--config={config}:data=mnist,ipc=1", "--print_config",
      "--config.method.learning_rate=2")
  assert result.code == 0, result.err
  lines = [line.split() for line in result.out.splitlines()]
  assert "method.learning_rate = 2.0 published 1.0".split() in lines
  assert "method.num_steps = 20000".split() in lines
  assert "per_class = 1".split() in lines
  plain = launching.distil(f"--config={config}", "--print_config")
  assert plain.out.endswith("No settings were published for these data.\n")
