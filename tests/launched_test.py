"""A command that finished is not run again; another one is."""

import json
import os
from pathlib import Path

import launch
import launched
import pytest
from driver import Interrupted

from distill_jax.errors import ConfigError

COMMAND = ["experiments/distill.py", "--config=a.py:ipc=1", "--config.seed=1",
           "--workdir=runs/my run"]


@pytest.fixture
def report(tmp_path):
  """A report of COMMAND with a folder for what runs share."""
  file = tmp_path / "report.json"
  file.write_text(json.dumps(dict(command=(
      "python experiments/distill.py --config=a.py:ipc=1 --config.seed=1 "
      "'--workdir=runs/my run' --cache_dir=runs --data_dir=data"
  ))))
  return file


@pytest.mark.parametrize("command", [
    COMMAND,
    [COMMAND[0], *reversed(COMMAND[1:])],
    [*COMMAND[:2], "--config.seed=2", *COMMAND[2:]],  # the last one counts
    [*COMMAND, "--data_dir=elsewhere"],
])
def test_the_same_command(report, command):
  assert launched.finished(report, command)


@pytest.mark.parametrize("command", [
    COMMAND[:2] + COMMAND[3:],  # made with more than is asked for
    [*COMMAND, "--config.num_steps=5"],
    [*COMMAND, "--config.seed=2"],
    ["experiments/evaluate.py", *COMMAND[1:]],
])
def test_another_command(report, command):
  assert not launched.finished(report, command)


def test_every_field_that_is_set_counts_in_its_order():
  first, second = "--set=num_steps=5", "--set=dm:num_steps=1"
  assert launched.meaning([first, second]) != launched.meaning([second])
  assert launched.meaning([first, second]) != launched.meaning([second, first])
  assert launched.meaning([first, "--a=1"]) == launched.meaning(
      ["--a=1", first]
  )


@pytest.mark.parametrize("program, sets, places", [
    ("distill", {}, ["--workdir=runs/row"]),
    ("distill", {"start": "a.safetensors"},
     ["--config.start=a.safetensors", "--workdir=runs/row"]),
    ("sweep", {}, ["--workdir=runs/row"]),
    ("evaluate", {"artifact": "a.safetensors"},
     ["--artifact=a.safetensors", "--out=runs/row/report.json"]),
    ("embed", {"A": "a.safetensors", "B": "b.safetensors"},
     ["--sets=A=a.safetensors,B=b.safetensors", "--out=runs/row/tsne.png"]),
])
def test_a_launch_says_where_it_reads_and_writes(program, sets, places):
  run = launched.Launch(program, Path("runs/row"), ["--x=1"], sets)
  assert run.command == [f"experiments/{program}.py", "--x=1", *places]


@pytest.mark.parametrize("code, error, message", [
    (0, Interrupted, "row did not finish; the same command goes on"),
    (launch.MISTAKE, ConfigError, "row was refused, as is said above"),
])
def test_a_launch_that_does_not_finish(
    monkeypatch, tmp_path, code, error, message
):
  monkeypatch.setattr(launched, "_run", lambda command: code)
  with pytest.raises(error, match=message):
    launched.Launch("distill", tmp_path / "row", []).run()


def test_a_flag_alone_is_true():
  assert launched.meaning(["--a"]) == launched.meaning(["--a=True"])


def test_a_set_that_is_newer_than_its_report(report, tmp_path):
  artifact = tmp_path / "distilled.safetensors"
  artifact.touch()
  now = report.stat().st_mtime
  os.utime(artifact, (now - 5, now - 5))
  assert launched.finished(report, COMMAND, artifact)
  os.utime(artifact, (now + 5, now + 5))
  assert not launched.finished(report, COMMAND, artifact)
  assert not launched.finished(tmp_path / "none.json", COMMAND)
