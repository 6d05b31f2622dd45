"""A command that finished is not run again; another one is."""

import json
import os
import shlex
from pathlib import Path

import launch
import launched
import pytest
from absl import flags

from distill_jax.commands.process import FAULT, MISTAKE
from distill_jax.errors import ConfigError, WorkdirError
from distill_jax.methods import NonFinite
from distill_jax.runs import Interrupted

ARGUMENTS = ["--config=a.py:ipc=1", "--config.seed=1"]
PLACES = ["--cache_dir=runs", "--data_dir=data"]


def _launch(folder, arguments=ARGUMENTS, program="distill", sets=None):
  return launched.Launch(program, folder, arguments, sets or {})


@pytest.fixture
def run(tmp_path):
  """The folder of a finished run, which has a space in its name."""
  folder = tmp_path / "my run"
  folder.mkdir()
  command = _launch(folder, ARGUMENTS + PLACES).command
  (folder / "report.json").write_text(
      json.dumps(dict(command=shlex.join(["python", *command]))))
  return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ARGUMENTS,
        ARGUMENTS[::-1],
        ["--config.seed=2", *ARGUMENTS],  # the last one counts
        [*ARGUMENTS, "--data_dir=elsewhere"]
    ])
def test_the_same_command(run, arguments):
  assert _launch(run, arguments).finished()


@pytest.mark.parametrize(
    "arguments",
    [
        ARGUMENTS[:1],  # made with more than is asked for
        [*ARGUMENTS, "--config.method.num_steps=5"],
        [*ARGUMENTS, "--config.seed=2"]
    ])
def test_another_command(run, arguments):
  assert not _launch(run, arguments).finished()


def test_another_program(run):
  file = run / "report.json"
  file.rename(run / "sweep.json")
  assert not _launch(run, program="sweep").finished()


def test_every_field_that_is_set_counts_in_its_order():
  first, second = "--set=num_steps=5", "--set=dm:num_steps=1"
  assert launched.meaning([first, second]) != launched.meaning([second])
  assert launched.meaning([first, second]) != launched.meaning([second, first])
  assert launched.meaning([first,
                           "--a=1"]) == launched.meaning(["--a=1", first])


@pytest.mark.parametrize(
    "program, sets, places",
    [("distill", {}, ["--workdir=runs/row"]),
     (
         "distill", {
             "method.start": "a.safetensors"
         }, ["--config.method.start=a.safetensors", "--workdir=runs/row"]),
     ("sweep", {}, ["--workdir=runs/row"]),
     (
         "evaluate", {
             "artifact": "a.safetensors"
         }, ["--artifact=a.safetensors", "--out=runs/row/report.json"]),
     (
         "embed", {
             "A": "a.safetensors",
             "B": "b.safetensors"
         }, [
             "--sets=A=a.safetensors,B=b.safetensors", "--out=runs/row/tsne.png"
         ])])
def test_a_launch_says_where_it_reads_and_writes(program, sets, places):
  run = launched.Launch(program, Path("runs/row"), ["--x=1"], sets)
  assert run.command == [f"experiments/{program}.py", "--x=1", *places]


@pytest.mark.parametrize(
    "code, error, message",
    [(0, Interrupted, "row did not finish; the same command goes on"),
     (-15, Interrupted, "row did not finish; the same command goes on"),
     (FAULT, RuntimeError, "row failed, as is said above$"),
     (3, NonFinite, "row failed, as is said above"),
     (MISTAKE, ConfigError, "row was refused, as is said above")])
def test_a_launch_that_does_not_finish(
    monkeypatch, tmp_path, code, error, message):
  monkeypatch.setattr(launched, "_run", lambda command: code)
  with pytest.raises(error, match=message):
    launched.Launch("distill", tmp_path / "row", []).run()


@pytest.mark.parametrize(
    "edited, got", [("{}", "None"), ('{"command": 3}', "3"),
                    ('{"command": "a \'b"}', "a 'b")])
def test_a_report_without_its_command_is_kept(run, edited, got):
  (run / "report.json").write_text(edited)
  message = f"report.json must hold the command that wrote it; got .*{got}"
  with pytest.raises(WorkdirError, match=message):
    _launch(run).run()
  assert (run / "report.json").read_text() == edited


def test_a_flag_alone_is_true():
  assert launched.meaning(["--a"]) == launched.meaning(["--a=True"])


def test_a_set_that_is_newer_than_its_report(run, tmp_path):
  artifact, report = tmp_path / "distilled.safetensors", run / "report.json"
  artifact.touch()
  launch_ = _launch(run, program="evaluate", sets=dict(artifact=artifact))
  report.write_text(
      json.dumps(dict(command=shlex.join(["python", *launch_.command]))))
  now = report.stat().st_mtime
  os.utime(artifact, (now - 5, now - 5))
  assert launch_.finished()
  os.utime(artifact, (now + 5, now + 5))
  assert not launch_.finished()
  assert not _launch(tmp_path / "none").finished()


@pytest.mark.parametrize(
    ("said", "wanted"),
    [(
        "flag --config.settings.num=two: invalid literal for int() with base "
        "10: 'two'", "`--config.settings.num` must be a whole number; got "
        "'two'."),
     (
         "flag --config.a[0]=x: could not convert string to float: 'x'",
         "`--config.a[0]` must be a number; got 'x'."),
     (
         "flag --same=maybe: ('Non-boolean argument to boolean flag', 'maybe')",
         "`--same` must be true or false; got 'maybe'."),
     (
         "Unknown command line flag 'x'.", "Unknown command line flag 'x'. See "
         "--help.")])
def test_mistakes_of_flags_are_said_in_words(said, wanted):
  assert launch._flag_error(flags.Error(said)) == wanted
