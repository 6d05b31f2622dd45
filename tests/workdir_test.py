"""A run's folder: whose it is, what it keeps, nothing half-written."""

import errno
import json
import os
import subprocess
import sys
from unittest import mock

import launching
import numpy as np
import pytest

from distill_jax import data, methods, preprocessing
from distill_jax.errors import WorkdirError
from distill_jax.runs import Run, files, workdir
from distill_jax.runs import run as run_module
from distill_jax.storage import alone

IDENTITY = dict(method=dict(name="dm", k=[1, 2]), seed=3)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open(path, *, num_steps=20, record=None, **changes):
  workdir.create(path)
  workdir.open_workdir(
      path, {
          **IDENTITY,
          **changes
      },
      record or dict(config="c"),
      num_steps=num_steps)
  return path


def test_record(tmp_path):
  folder = _open(tmp_path / "a" / "b")
  record = json.loads((folder / "config.json").read_text())
  assert record["identity"] == IDENTITY and record["config"] == "c"
  assert {"python", "jax", "distill_jax"} <= record["versions"].keys()
  assert record["device"] and record["command"].startswith("python ")
  assert "git_revision" in record


def test_reenters_the_same_run(tmp_path):
  _open(tmp_path)
  folder = _open(tmp_path, num_steps=50, record=dict(config="d"))
  assert json.loads((folder / "config.json").read_text())["config"] == "d"


@pytest.mark.parametrize(
    "change, said",
    [(dict(seed=5), "differing: seed (3 there, 5 here). Choose"),
     (dict(method=dict(name="dm", k=[1])), "method.k ([1, 2] there, [1] here)"),
     (dict(added=1), "added (None there, 1 here)")])
def test_refuses_another_run(tmp_path, change, said):
  _open(tmp_path)
  before = launching.contents(tmp_path)
  with pytest.raises(WorkdirError, match="another run; differing: ") as caught:
    _open(tmp_path, **change)
  assert said in str(caught.value)
  assert launching.contents(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", '{"identity": 3}', "\0", "[" * 100_000])
def test_refuses_an_unreadable_record(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(WorkdirError, match="unreadable"):
    _open(tmp_path)
  assert (tmp_path / "config.json").read_text() == text


@pytest.mark.parametrize("value", ["x" * 1000, "\0\n\ud800", [{}] * 999])
def test_names_what_differs_in_a_line(tmp_path, value):
  _open(tmp_path, **{f"field{i}": value for i in range(9)})
  with pytest.raises(WorkdirError, match="and 6 more. Choose") as caught:
    _open(tmp_path)
  assert len(str(caught.value)) < 290 + len(str(tmp_path))
  assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_a_pipe_is_no_file(tmp_path, name):
  os.mkfifo(_open(tmp_path / "run") / f"{name}.pipe")
  (tmp_path / "run" / f"{name}.pipe").replace(tmp_path / "run" / name)
  with pytest.raises(WorkdirError, match=name):
    _open(tmp_path / "run")


def test_refuses_a_folder_of_other_files(tmp_path):
  (tmp_path / "thesis.tex").write_text("precious")
  with pytest.raises(WorkdirError, match="other files.*Choose another"):
    _open(tmp_path)
  assert launching.contents(tmp_path) == {"thesis.tex": b"precious"}


def test_refuses_fewer_steps_than_made(tmp_path):
  files.MetricsLog(_open(tmp_path), 0).write(step=20, seconds=1.0, loss=2.0)
  before = launching.contents(tmp_path)
  with pytest.raises(WorkdirError, match="`num_steps`.*20, got 19"):
    _open(tmp_path, num_steps=19)
  _open(tmp_path, num_steps=None)  # part of the identity
  assert launching.contents(tmp_path) == before


def test_after_a_full_disk_the_folder_serves_again(tmp_path):
  with mock.patch.object(os, "replace", side_effect=FULL):
    with pytest.raises(WorkdirError, match="`workdir` must be writable.*space"):
      _open(tmp_path)
  assert launching.contents(tmp_path) == {}
  (tmp_path / ".config.json.1.partial").write_text("{")  # killed in a write
  assert (_open(tmp_path) / "config.json").exists()


def test_write_json_keeps_the_old_file(tmp_path):
  file = tmp_path / "x.json"
  files.write_json(file, [1])
  with mock.patch.object(os, "replace", side_effect=FULL):
    with pytest.raises(OSError):
      files.write_json(file, [2])
  assert launching.contents(tmp_path) == {"x.json": b"[\n  1\n]\n"}


def test_log_goes_on_from_a_step(tmp_path):
  log = files.MetricsLog(tmp_path, 0)
  for step in (2, 4, 6):
    log.write(step=step, seconds=step / 2, loss=1.0)
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 8, "sec')  # killed in a write
  log = files.MetricsLog(tmp_path, 4)
  assert log.seconds == 2.0
  log.write(step=6, seconds=9.0, loss=1.0)
  assert files.MetricsLog.read(tmp_path) == [
      dict(step=2, seconds=1.0, loss=1.0),
      dict(step=4, seconds=2.0, loss=1.0),
      dict(step=6, seconds=9.0, loss=1.0)
  ]


DAMAGED = [
    b'{"step": 4, "sec', b"", b"\xff\0", b"[" * 100_000, b"3",
    b'{"step": "4", "seconds": 1.0, "loss": 2}',
    b'{"step": 4, "seconds": [], "loss": 2}', b'{"step": 4, "seconds": 1.0}',
    b'{"step": 4, "seconds": 1.0, "loss": 1%s}' % (b"0" * 400)
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_lines_of_a_log_are_counted_and_said(tmp_path, capsys, damage):
  log = files.MetricsLog(tmp_path, 0)
  for step in (2, 4, 6):
    log.write(step=step, seconds=1.0, loss=1.0)
  file = tmp_path / "metrics.jsonl"
  first, _, last = file.read_bytes().splitlines()
  file.write_bytes(b"\n".join([first, damage, last, b'{"step": 8, "sec']))
  files.MetricsLog(tmp_path, 6)
  assert f"{file}: 1 damaged line left out of 3" in capsys.readouterr().err
  assert [line["step"] for line in files.MetricsLog.read(tmp_path)] == [2, 6]


def test_folder_of_a_running_process_is_refused(tmp_path):
  with alone(tmp_path):
    with pytest.raises(WorkdirError, match="another one runs"):
      with alone(tmp_path):
        pass
  with alone(tmp_path):  # free again
    pass


# In a PID namespace of its own, where the system lets it, and a `TMPDIR`.
_APART = ["unshare", "--pid", "--fork"]
_WRITER = """
import pathlib, sys
from distill_jax.runs.files import update_json
file, name = pathlib.Path(sys.argv[1]), sys.argv[2]
for i in range(20):
  update_json(file, lambda old: old | {f"{name}{i}": i}, {})
"""


def test_a_shared_file_loses_nothing(tmp_path):
  file = tmp_path / "shared.json"
  apart = _APART
  if subprocess.run([*apart, "true"], capture_output=True).returncode:
    apart = []
  writers = []
  for name in "ab":
    environment = launching.environment()
    environment["TMPDIR"] = str(tmp_path / name)
    (tmp_path / name).mkdir()
    writers.append(
        subprocess.Popen(
            [*apart, sys.executable, "-c", _WRITER,
             str(file), name],
            env=environment))
  assert [writer.wait() for writer in writers] == [0, 0]
  assert len(json.loads(file.read_text())) == 40
  left = {path.name for path in tmp_path.rglob("*")}
  assert left == {"a", "b", file.name, f".{file.name}.lock"}


def test_whoever_may_write_the_folder_may_share_its_files(tmp_path):
  tmp_path.chmod(0o777)
  before = os.umask(0o077)
  try:
    files.update_json(tmp_path / "shared.json", lambda old: old, {})
  finally:
    os.umask(before)
  modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
  assert modes == {"shared.json": 0o666, ".shared.json.lock": 0o666}


def test_a_lock_that_is_a_link_is_refused_and_not_followed(tmp_path):
  (tmp_path / "thesis.tex").write_text("precious")
  (tmp_path / ".shared.json.lock").symlink_to("thesis.tex")
  with pytest.raises(WorkdirError, match="shared.json must be a file that can"):
    files.update_json(tmp_path / "shared.json", lambda old: old, {})
  assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_halves_of_a_shared_file_are_cleared(tmp_path):
  for name in (".shared.json.0a.partial", ".other.json.0a.partial"):
    (tmp_path / name).write_text("{")
  files.update_json(tmp_path / "shared.json", lambda old: old, {})
  left = [path.name for path in tmp_path.glob(".*.partial")]
  assert left == [".other.json.0a.partial"]


def test_halves_of_a_run_are_cleared_at_its_next_start(tmp_path, monkeypatch):
  source = data.from_arrays(np.eye(6), np.arange(6) % 2, np.eye(6), [0] * 6)
  run = Run(tmp_path, source, methods.dm(num_steps=1), per_class=1)
  halves = {
      f"{place}.{name}.0a.partial"
      for place, name in (("", "report.json"), ("parts/0/", "metrics.jsonl"),
                          ("figures/", "curves.png"), ("", "real_data.json"))
  }
  for name in halves:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{")
  (tmp_path / "config.json").write_text("{}")
  monkeypatch.setattr(run_module.workdir, "open_workdir", mock.Mock())
  monkeypatch.setattr(
      run_module.driver, "train", mock.Mock(side_effect=KeyboardInterrupt))
  with pytest.raises(KeyboardInterrupt):
    run.go()
  left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.partial")}
  assert left == {".real_data.json.0a.partial"}  # its next writer clears that


def test_a_log_on_a_full_disk_is_named(tmp_path):
  log = files.MetricsLog(tmp_path, 0)
  (tmp_path / "metrics.jsonl").unlink()
  (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
  with pytest.raises(OSError, match="No space left.*metrics.jsonl"):
    log.write(step=1, seconds=1.0, loss=1.0)


def test_a_full_disk_names_the_file(tmp_path):
  file = tmp_path / "x.json"
  with mock.patch.object(os, "fsync", side_effect=FULL):
    with pytest.raises(OSError, match="No space left.*x.json"):
      files.write_json(file, [1])
    with pytest.raises(WorkdirError, match="x.json .*No space left.*Free"):
      files.update_json(file, lambda old: old, {})


@pytest.mark.parametrize("seed", [0, 1])
def test_settings_of_data_that_are_read_do_not_depend_on_the_seed(
    seed, tmp_path):
  """The seed chooses the validation part, and so the mean of the others."""
  x = np.random.default_rng(seed).normal(size=(60, 3))
  source = data.from_arrays(x, np.arange(60) % 3)
  identity = dict(
      preprocessing=preprocessing.identity(source.preprocessing),
      data="csv:a.csv",
      fingerprint=source.fingerprint())
  method = methods.dm()
  how = dict(data_dir=None, validation_fraction=0.1, seed=seed)
  run = Run(tmp_path, source, method, per_class=1, reading=how)
  assert run._settings(identity) == dict(
      preprocessing=dict(kind="Standardise"),
      data="csv:a.csv",
      validation_fraction=0.1,
      method=method.spec)
  by_hand = Run(tmp_path, source, method, per_class=1)
  assert by_hand._settings(identity) == dict(identity, method=method.spec)
