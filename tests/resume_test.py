"""Runs that are killed or asked to stop, and go on as if nothing had been."""

import importlib
import json
import os
import signal
import time
from pathlib import Path

import kill_resume
import launching
import numpy as np
import pytest

from distill_jax import methods, storage

STEPS = 120
RUN = kill_resume.command("fixed", STEPS)


@pytest.fixture(scope="module")
def env():
  """The processes' environment: what one compiles serves the others.

  A process that is killed may leave half a program in the cache, which then is
  compiled each time; so they have one of their own.
  """
  cache = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
  killed = str(cache.with_name(f"{cache.name}_killed"))
  return launching.environment() | {"JAX_COMPILATION_CACHE_DIR": killed}


def test_killed_and_resumed_is_bit_identical(tmp_path, env):
  quiet, killed = tmp_path / "quiet", tmp_path / "killed"
  kill_resume.finish(RUN, quiet, env)
  rows = kill_resume.kill(
      RUN,
      killed,
      num_kills=1,
      num_steps=STEPS,
      env=env,
      generator=np.random.default_rng(1))  # fmt: skip
  assert any(row["killed"] for row in rows)
  said = kill_resume.finish(RUN, killed, env)
  reached = [row["logged_step"] for row in rows]
  assert any(0 < step < STEPS for step in reached), reached
  assert "resumed at step" in said
  steps = [row["step"] for row in kill_resume.log(killed)]
  assert steps == list(range(2, STEPS + 1, 2))
  assert kill_resume.differences(quiet, killed) == []
  assert not list(killed.rglob("*.tmp"))


def test_asked_to_stop(tmp_path, env):
  run = [
      *RUN, "--config.method.num_steps=1000000",
      "--config.method.schedule=constant"
  ]
  process = kill_resume.start(run, tmp_path / "run", env)
  try:
    while process.poll() is None and not kill_resume.log(tmp_path / "run"):
      time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
  finally:
    process.kill()
  assert process.returncode == 128 + signal.SIGTERM, said
  assert "checkpoint will be written" in said
  last = said.splitlines()[-1]
  assert "stopped at step" in last and "the same command goes on" in last
  step = kill_resume.log(tmp_path / "run")[-1]["step"]
  assert f"step {step} of 1000000" in last
  newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
  assert newest.stem == f"step_{step:09d}"
  assert not (tmp_path / "run" / "distilled.safetensors").exists()


@pytest.mark.parametrize("name", sorted(methods.ENTRIES))
def test_every_method_has_a_small_run(name, tmp_path):
  text = kill_resume.small(name, 8, tmp_path)[2].partition(":")[2]
  config = importlib.import_module(f"configs.{name}").get_config(text)
  assert methods.from_spec(config.method.to_dict()).num_steps <= 8


@pytest.fixture
def pair(tmp_path):
  """Folders of two runs that differ in their seconds and commands."""
  folders = [tmp_path / "a", tmp_path / "b"]
  for i, folder in enumerate(folders):
    folder.mkdir()
    tensors = {"inputs": np.zeros(2)}
    storage.write(folder / "distilled.safetensors", tensors, {})
    (folder / "metrics.jsonl").write_text(f'{{"step": 2, "seconds": {i}}}\n')
    report = dict(command=str(i), cost=[dict(seconds=i, flops=3)])
    (folder / "report.json").write_text(json.dumps(report))
  return folders


@pytest.mark.parametrize(
    "file, content, found",
    [("metrics.jsonl", '{"step": 4}\n', ["log"]),
     ("report.json", '{"cost": [{"flops": 4}]}', ["report"]),
     ("left.partial", "", ["names"])])
def test_differences_are_named(pair, file, content, found):
  assert kill_resume.differences(*pair) == []
  (pair[1] / file).write_text(content)
  assert kill_resume.differences(*pair) == found


def test_tensors_that_differ_are_named(pair):
  file = pair[1] / "distilled.safetensors"
  storage.write(file, {"inputs": np.zeros(2), "more": np.ones(1)}, {})
  assert kill_resume.differences(*pair) == ["more"]
  storage.write(file, {"inputs": np.array([0, -0.0])}, {})
  assert kill_resume.differences(*pair) == ["inputs"]
