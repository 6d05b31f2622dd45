"""A command that finished is not run again; another one is."""

import json
import os

import launched
import pytest

COMMAND = ["experiments/distill.py", "--config=a.py:ipc=1", "--config.seed=1",
           "--workdir=runs/my run"]


@pytest.fixture
def report(tmp_path):
  """A report of COMMAND with a folder for what runs share."""
  file = tmp_path / launched.REPORTS["distill"]
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


def test_every_field_that_is_set_counts():
  first, second = "--set=num_steps=5", "--set=dm:learning_rate=1"
  assert launched.meaning([first, second]) == launched.meaning([second, first])
  assert launched.meaning([first, second]) != launched.meaning([second])
  assert launched.meaning(["--set=num_steps=4", first]) == (
      launched.meaning([first])
  )


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
