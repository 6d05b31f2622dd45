"""The sweep: which runs it asks for, and what it says of their reports."""

import json

import launch
import launched
import pytest
import sweep
from absl.testing import flagsaver

COMMAND = ("--methods=dm,dsa", "--dataset=mnist", "--ipc=1,10",
           "--options=width=8", "--set=num_steps=5", "--data=digits")
# Of three networks, by method and samples per class.
ACCURACIES = {
    ("dm", 1): (0.5, 0.6, 0.7), ("dm", 10): (0.8, 0.9, 0.85),
    ("dsa", 1): (0.4, 0.5, 0.6), ("dsa", 10): (0.9, 1.0, 0.92),
}


def _report(method, ipc):
  accuracy = ACCURACIES[method, ipc]
  mean = sum(accuracy) / 3
  baseline = dict(mean=0.3, std=0.1, stderr=0.05)
  return dict(
      num_samples=10 * ipc,
      storage_bytes=dict(total=7_840 * ipc),
      accuracy=dict(mean=mean, std=0.1, stderr=0.06, per_network=accuracy),
      baselines=dict(
          random_real=dict(num_samples=10 * ipc, **baseline),
          byte_matched_real=dict(num_samples=40 * ipc, **baseline),
      ),
  )


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
  """The launcher with its runs replaced: (code, output, folder, asked)."""
  asked = []

  def report_of(name, folder, arguments, extra):
    asked.append((folder, arguments, extra))
    method, *_, ipc = name.split("_")
    return _report(method, int(ipc))

  monkeypatch.setattr(launched, "report_of", report_of)

  def start(*changes):
    with flagsaver.flagsaver():
      sweep.FLAGS.unparse_flags()
      code = launch.run(sweep.main, [
          "sweep.py", *COMMAND, f"--workdir={tmp_path}", *changes
      ])
    return code, capsys.readouterr(), tmp_path, asked

  return start


def test_each_point_is_a_run_of_its_own(run):
  code, _, home, asked = run()
  assert code == 0
  assert [folder.name for folder, *_ in asked] == [
      "dm_pixels_1", "dm_pixels_10", "dsa_pixels_1", "dsa_pixels_10",
  ]
  folder, arguments, extra = asked[1]
  assert arguments == [
      "--config=experiments/configs/dm_mnist.py:"
      "ipc=10,parameterization=pixels,width=8",
      "--config.num_steps=5", "--data=digits",
  ]
  assert extra == [f"--cache_dir={home}"] and folder.parent == home


def test_table_and_files(run):
  _, shown, home, _ = run()
  lines = shown.out.splitlines()
  assert lines[0].split() == ["per", "class", "DM", "DSA", "random", "real"]
  assert lines[1].split()[0] == "1" and "60.00 ± 6.00" in lines[1]
  # On the same networks the difference at 1 is 10 each: no error.
  assert "DM over DSA, by samples per class: 1: +10.00 ± 0.00, 10: -9.00 ± " in (
      shown.out
  )
  rows = json.loads((home / "sweep.json").read_text())
  assert [row["num_samples"] for row in rows] == [10, 100] * 3
  assert (home / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_against_bytes_each_parameterization_is_a_line(run):
  _, shown, home, asked = run(
      "--methods=dm", "--against=bytes",
      "--parameterizations=pixels,linear_bases",
  )
  assert len(asked) == 4
  rows = json.loads((home / "sweep.json").read_text())
  assert {row["label"] for row in rows} == {
      "DM, pixels", "DM, linear bases", "real, same bytes"
  }
  assert rows[-1]["num_samples"] == 400


@pytest.mark.parametrize("change, message", [
    ("--methods=dm,sm", "`--methods` must be one of"),
    ("--dataset=mnst", "`--dataset` must be one of"),
    ("--ipc=1,two", "`--ipc` must be whole numbers above 0; got 'two'"),
])
def test_mistakes_are_told_before_any_run(run, change, message):
  code, shown, _, asked = run(change)
  assert code == launch.MISTAKE and message in shown.err and not asked
