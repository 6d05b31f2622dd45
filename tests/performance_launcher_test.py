"""A kernel from the command line, judged twice and learned further."""

import json

import jax
import launching
import numpy as np
import pytest

from distill_jax import artifact


@pytest.fixture(scope="module")
def kip(tmp_path_factory):
  """The folder and the result of a quick run, as it is."""
  folder = tmp_path_factory.mktemp("kip") / "run"
  result = launching.distil(
      f"--config={launching.CONFIGS / 'kip.py'}:quick,rows=10,learn_labels",
      f"--workdir={folder}", "--config.figures=false")
  yield folder, result
  jax.config.update("jax_enable_x64", False)


def _read(folder):
  made = artifact.load(folder / "distilled.safetensors")
  return made, json.loads((folder / "report.json").read_text())


def test_quick_from_end_to_end(kip):
  folder, result = kip
  assert result.code == 0, result.err
  made, report = _read(folder)
  assert made.label_space == "centred" and made.inputs.dtype == np.float32
  assert made.network["name"] == report["network"] == "kernel_ridge"
  assert report["accuracy"]["mean"] > report["baselines"]["random_real"]["mean"]
  assert report["hard_label_accuracy"]["mean"] > 0.5


@pytest.mark.slow
def test_a_kernel_and_a_network_judge_it(kip, tmp_path):
  folder, _ = kip
  set_ = f"--artifact={folder / 'distilled.safetensors'}"
  both, wrong = launching.elsewhere(
      "evaluate", [
          set_, "--data=digits", "--networks=kernel_ridge,mlp",
          "--num_networks=2", f"--out={tmp_path / 'both.json'}",
          "--recipe=kip:num_steps=20"
      ], [
          set_, "--data=digits", "--networks=mlp", "--recipe=dsa:num_epochs=1",
          f"--out={tmp_path / 'wrong.json'}"
      ])
  assert both.code == 0, both.err
  found = json.loads((tmp_path / "both.json").read_text())["networks"]
  _, report = _read(folder)
  assert found["kernel_ridge"]["accuracy"]["mean"] == pytest.approx(
      report["accuracy"]["mean"], abs=0.01)
  assert len(found["mlp"]["accuracy"]["per_network"]) == 2
  assert wrong.code == 2 and wrong.err.count("\n") <= 3
  assert "must not have centred labels" in wrong.err
  assert not (tmp_path / "wrong.json").exists()


def test_it_is_learned_further(kip, tmp_path):
  begun, _ = _read(kip[0])
  file = tmp_path / "set.safetensors"
  artifact.save(begun, file)

  def go_on():
    return launching.distil(
        f"--config={launching.CONFIGS / 'rat_bptt.py'}:quick,ipc=1,width=4,"
        "learn_labels,regression", *launching.FEW, "--config.network.depth=1",
        f"--config.method.start={file}", "--config.method.num_steps=2",
        "--config.validation_fraction=0", "--config.method.batch_size=16",
        "--config.method.recipe.target_scale=5",
        "--config.method.student.target_scale=5",
        "--config.method.label_learning_rate=0.001",
        f"--workdir={tmp_path}/second")

  done = go_on()
  assert done.code == 0, done.err
  made, report = _read(tmp_path / "second")
  assert made.label_space == "centred"
  assert report["recipe"]["target_scale"] == 5.0
  moved = np.abs(made.labels - begun.labels).max()
  assert 0 < moved < 0.01

  content = file.read_bytes()
  file.write_bytes(content[:-1])
  spoilt = go_on()
  assert spoilt.code == 2 and "`start` must be a saved set" in spoilt.err
  file.unlink()
  gone = go_on()
  assert gone.code == 2 and "`start` must be a" in gone.err
  artifact.save(begun._replace(method="another"), file)
  other = go_on()
  assert other.code == 2
  assert "holds another run; differing: method.start" in other.err
