"""Kernels and long unrolls from the command line, and what becomes of them."""

import json

import jax
import launching
import numpy as np
import pytest

from distill_jax import artifact

QUICK = (
    "--config.evaluation.num_networks=1", "--config.evaluation.num_sets=1",
    "--config.figures=false",
)


@pytest.fixture(autouse=True)
def narrow():
  """Launchers of kernels switch x64 on for their process, which is this one."""
  yield
  jax.config.update("jax_enable_x64", False)


def _distil(folder, config, *more):
  return launching.distil(
      f"--config={launching.CONFIGS / config}", f"--workdir={folder}", *QUICK,
      *more,
  )


def _read(folder):
  made = artifact.load(folder / "distilled.safetensors")
  return made, json.loads((folder / "report.json").read_text())


def _two_classes(folder):
  generator = np.random.default_rng(0)
  y = np.arange(120) % 2
  x = generator.integers(0, 128, (120, 8, 8, 1)) + 127 * y[:, None, None, None]
  x = x.astype(np.uint8)
  np.savez(folder / "two.npz", x_train=x[:80], y_train=y[:80],
           x_test=x[80:], y_test=y[80:])
  return f"--data=npz:{folder / 'two.npz'}"


def test_a_kernel_and_a_network_judge_a_set_of_kip(tmp_path):
  done = _distil(tmp_path / "run", "kip_mnist.py:quick,labels,images=10")
  assert done.code == 0, done.err
  made, report = _read(tmp_path / "run")
  assert made.label_space == "centred"
  assert made.network["name"] == "kernel_ridge"
  assert made.inputs.dtype == np.float32
  assert report["network"] == "kernel_ridge"
  assert report["recipe"] == dict(made.network)
  assert report["accuracy"]["mean"] > report["baselines"]["random_real"]["mean"]
  assert report["hard_label_accuracy"]["mean"] > 0.5
  set_ = f"--artifact={tmp_path / 'run' / 'distilled.safetensors'}"
  both, wrong = launching.elsewhere(
      "evaluate",
      [set_, "--data=digits", "--networks=kernel_ridge,mlp",
       "--num_networks=2", f"--out={tmp_path / 'both.json'}",
       "--recipe=kip:num_steps=20"],
      [set_, "--data=digits", "--networks=mlp", "--recipe=dsa:num_epochs=1",
       f"--out={tmp_path / 'wrong.json'}"],
      cache=tmp_path / "cache",
  )
  assert both.code == 0, both.err
  found = json.loads((tmp_path / "both.json").read_text())["networks"]
  assert found["kernel_ridge"]["accuracy"]["mean"] == pytest.approx(
      report["accuracy"]["mean"], abs=0.01
  )
  assert len(found["mlp"]["accuracy"]["per_network"]) == 2
  assert wrong.code == 2 and wrong.err.count("\n") <= 3
  assert "must not have centred labels" in wrong.err
  assert not (tmp_path / "wrong.json").exists()


def test_label_solve_of_two_classes(tmp_path):
  done = _distil(
      tmp_path / "run", "label_solve_cifar10.py:quick,images=4",
      _two_classes(tmp_path),
  )
  assert done.code == 0, done.err
  made, report = _read(tmp_path / "run")
  assert made.labels.shape == (4, 1) and made.label_regime == "soft_fixed"
  assert report["accuracy"]["mean"] > 0.9


@pytest.mark.parametrize("method", ["frepo", "rcig", "rfad", "rat_bptt"])
def test_students_of_two_classes(tmp_path, method):
  done = _distil(
      tmp_path / "run", f"{method}_mnist.py:quick,ipc=1,width=4",
      _two_classes(tmp_path), "--config.num_steps=4", "--config.log_every=2",
      "--config.checkpoint_every=2", "--config.evaluation.baselines=",
      "--config.batch_size=16",
  )
  assert done.code == 0, done.err
  made, report = _read(tmp_path / "run")
  assert made.labels.shape == (2, 1)
  centred = method != "rat_bptt"
  assert made.label_space == ("centred" if centred else "raw")
  assert report["recipe"]["name"] == ("frepo" if centred else "rat_bptt")
  assert np.isfinite(made.inputs).all()


def test_interrupted_kip_goes_on_with_the_same_bits(tmp_path):
  config = "kip_mnist.py:quick,images=10"
  less = ("--config.evaluation.baselines=",)
  whole = _distil(tmp_path / "whole", config, *less)
  part = _distil(tmp_path / "part", config, "--config.num_steps=10", *less)
  again = _distil(tmp_path / "part", config, *less)
  assert (whole.code, part.code, again.code) == (0, 0, 0), again.err
  first, second = (
      _read(tmp_path / name)[0].inputs for name in ("whole", "part")
  )
  np.testing.assert_array_equal(first, second)


def test_a_saved_set_is_learned_further(tmp_path):
  small = ("--config.evaluation.baselines=", "--config.batch_size=16")
  first = _distil(
      tmp_path / "first", "kip_mnist.py:quick,images=2,labels",
      _two_classes(tmp_path), *small, "--config.num_steps=2",
  )
  assert first.code == 0, first.err
  begun, _ = _read(tmp_path / "first")
  file = tmp_path / "first" / "distilled.safetensors"

  def go_on(*more):
    return _distil(
        tmp_path / "second",
        "rat_bptt_mnist.py:quick,ipc=1,width=4,learn_labels,regression",
        f"--data=npz:{tmp_path / 'two.npz'}", *small,
        f"--config.start={file}", "--config.num_steps=2",
        "--config.validation_fraction=0", "--config.recipe.target_scale=5",
        "--config.student.target_scale=5",
        "--config.label_learning_rate=0.001", *more,
    )

  done = go_on()
  assert done.code == 0, done.err
  made, report = _read(tmp_path / "second")
  assert made.label_space == "centred"
  assert report["recipe"]["target_scale"] == 5.0
  assert np.abs(begun.labels).max() not in (0, 0.5)  # KIP has moved them
  assert begun.labels.min() < 0 and made.labels.min() < 0
  moved = np.abs(made.labels - begun.labels).max()
  assert 0 < moved < 0.01

  content = file.read_bytes()
  file.write_bytes(content[:-1])
  spoilt = go_on()
  assert spoilt.code == 2 and "`start` must be a saved set" in spoilt.err
  file.unlink()
  gone = go_on()
  assert gone.code == 2 and "`start` must be a" in gone.err
  begun = begun._replace(method="another")
  artifact.save(begun, file)
  other = go_on()
  assert other.code == 2 and "holds another run; differing: start" in other.err
