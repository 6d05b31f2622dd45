"""The sweep: which runs it asks for, and what it says of their reports."""

import json

import launching
import pytest

from distill_jax.commands.process import MISTAKE
from distill_jax.evaluation import points as evaluation_points

COMMAND = (
    "--methods=dm,dsa", "--dataset=mnist", "--ipc=1,10", "--options=width=8",
    "--set=method.num_steps=5", "--set=dm:method.learning_rate=5",
    "--data=digits")
# Reports instead of runs: accuracies of three networks, by method and samples
# per class. What was asked for is written beside them.
FAKE = """
import json
import launched
accuracies = {
    ("dm", 1): (0.5, 0.6, 0.7), ("dm", 10): (0.8, 0.9, 0.85),
    ("dsa", 1): (0.4, 0.5, 0.6), ("dsa", 10): (0.9, 1.0, 0.92),
}
def run(launch):
  folder = launch.folder
  with open(folder.parent / "asked", "a") as file:
    file.write(json.dumps([folder.name, launch.arguments]) + "\\n")
  method, *_, ipc = folder.name.split("_")
  ipc, own = int(ipc), accuracies.get((method, int(ipc)), (0.5, 0.6, 0.7))
  bits = [int(part) for part in folder.name.split("_")[2:-1] if part in "842"]
  baseline = dict(mean=0.3, std=0.1, stderr=0.05)
  return dict(
      num_samples=10 * ipc, num_networks=3, label_regime="hard", seed=0,
      device="cpu", seconds=dict(distill=1.0, evaluate=1.0),
      storage_bytes=dict(total=7_840 * ipc // (1 + ("bases" in folder.name))),
      accuracy=dict(
          mean=sum(own) / 3, std=0.1, stderr=0.06, per_network=own
      ),
      baselines=dict(
          random_real=dict(num_samples=10 * ipc, **baseline),
          byte_matched_real=dict(num_samples=40 * ipc, **baseline),
          byte_matched_quantised=dict(num_samples=20 * ipc, **baseline),
      ),
      quantisation=dict(bits=bits[0]) if bits else None,
  )
launched.Launch.run = run
"""
MISTAKES = {
    "--methods=dm,sm": "`--methods` must be one of",
    "--dataset=mnst": "`--dataset` must be one of",
    "--parameterizations=pixel": "`--parameterizations` must be one of",
    "--set=num_steps": "`--set` must be field=value or NAME:field=value; got",
    "--set=ncfm:num_steps=5": "`NAME of --set` must be one of dm, dsa; got",
    "--bits=8,3": "`--bits` must be one of 2, 32, 4, 8; got '3'",
    "--per_class_bytes=99": "`--ipc` must be given",
    "--ipc=1,two": "`--ipc` must be whole numbers above 0; got 'two'"
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
  """(folder, result) of a sweep, one against bytes, and the mistakes."""
  home = tmp_path_factory.mktemp("sweep")
  changes = [(),
             (
                 "--methods=dm", "--against=bytes",
                 "--parameterizations=pixels,linear_bases"),
             *((change,) for change in MISTAKES)]
  own = "--methods=dm", "--ipc=1", "--data=folder:pictures"
  alike = (
      "--methods=dm", "--dataset=digits", "--per_class_bytes=600",
      "--parameterizations=pixels,frequency", "--bits=32,8", "--against=bits",
      "--set=frequency:keep=9", "--set=frequency:mask=lowpass",
      "--set=pixels:method.num_steps=4")
  last = alike, own, own[:2]
  folders = [home / str(i) for i in range(len(changes) + len(last))]
  commands = [*((*COMMAND, *change) for change in changes), *last]
  results = launching.elsewhere(
      "sweep",
      *((*command, f"--workdir={folder}")
        for folder, command in zip(folders, commands, strict=True)),
      before=FAKE)
  return list(zip(folders, results, strict=True))


def _asked(home):
  return list(map(json.loads, (home / "asked").read_text().splitlines()))


def _points(home):
  return json.loads((home / "sweep.json").read_text())["points"]


def test_each_point_is_a_run_of_its_own(swept):
  home, result = swept[0]
  assert result.code == 0, result.err
  asked = _asked(home)
  assert [folder for folder, _ in asked] == ["dm_1", "dm_10", "dsa_1", "dsa_10"]
  assert asked[1][1] == [
      "--config=experiments/configs/dm.py:data=mnist,ipc=10,width=8",
      "--config.evaluation.num_sets=0",
      "--config.evaluation.networks_per_set=0", "--config.method.num_steps=5",
      "--config.method.learning_rate=5", f"--cache_dir={home}", "--data=digits"
  ]
  assert asked[3][1] == [
      "--config=experiments/configs/dsa.py:data=mnist,ipc=10,width=8",
      "--config.evaluation.num_sets=0",
      "--config.evaluation.networks_per_set=0", "--config.method.num_steps=5",
      f"--cache_dir={home}", "--data=digits"
  ]


def test_table_and_files(swept):
  home, result = swept[0]
  lines = result.out.splitlines()
  assert lines[0].split() == [
      "per", "class", "bytes", "accuracy", "%", "random", "real"
  ]
  assert lines[2].split() == "DM 1 7,840 60.00 ± 10.00 30.00 ± 10.00".split()
  # On the same networks the difference at 1 is 10 each: no error.
  assert "DM over DSA by samples per class:\n  1: +10.00 ± 0.00, 10: -9" in (
      result.out)
  assert [p["num_samples"] for p in _points(home)] == [10, 100] * 2
  assert (home / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_against_bytes_each_parameterization_is_a_line(swept):
  home, result = swept[1]
  assert result.code == 0, result.err
  assert [folder for folder, _ in _asked(home)] == [
      "dm_pixels_1", "dm_pixels_10", "dm_linear_bases_1", "dm_linear_bases_10"
  ]
  points = _points(home)
  assert len({p["bytes"] for p in points}) == 4
  assert " 3,920 " in result.out and " 7,840 " in result.out
  assert {p["label"] for p in points} == {"DM, pixels", "DM, linear bases"}
  real = points[-1]["real"]
  assert (real["label"], real["num_samples"]) == ("real, same bytes", 400)
  assert real["bytes"] == points[-1]["bytes"]
  # No two of them have the same size, so none is ahead.
  assert "DM, pixels over" not in result.out


def test_as_many_rows_as_fit_into_some_bytes(swept):
  """A row of pixels has 256 + 40 bytes, or 64 + 4 + 40; 9 coefficients 36 + 40,
  or 9 + 4 + 40.
  """
  home, result = swept[-3]
  assert result.code == 0, result.err
  asked = dict(_asked(home))
  assert list(asked) == [
      "dm_pixels_32_2", "dm_pixels_8_5", "dm_frequency_32_7",
      "dm_frequency_8_11"
  ]
  assert asked["dm_frequency_8_11"] == [
      "--config=experiments/configs/dm.py:data=digits,ipc=11,"
      "parameterization.name=quantised,parameterization.inner.name=frequency",
      "--config.evaluation.num_sets=0",
      "--config.evaluation.networks_per_set=0",
      "--config.method.parameterization.bits=8",
      "--config.method.parameterization.inner.keep=9",
      "--config.method.parameterization.inner.mask=lowpass",
      f"--cache_dir={home}"
  ]
  assert "--config.method.parameterization.keep=9" in asked["dm_frequency_32_7"]
  assert "--config.method.num_steps=4" in asked["dm_pixels_32_2"]
  points = _points(home)
  assert [p["bits"] for p in points] == [32, 8, 32, 8]
  assert {p["label"] for p in points} == {"DM, pixels", "DM, frequency"}
  assert "real, quantised alike" in result.out
  assert "DM, pixels over DM, frequency by bits:\n  32: " in result.out


def test_mistakes_are_told_before_any_run(swept):
  for (home, result), message in zip(swept[2:-3], MISTAKES.values(),
                                     strict=True):
    assert result.code == MISTAKE and message in result.err
    assert not home.exists()


def test_own_data_need_no_data_set(swept):
  (home, result), (none, refused) = swept[-2:]
  assert result.code == 0, result.err
  assert _asked(home)[0][1] == [
      "--config=experiments/configs/dm.py:ipc=1",
      "--config.evaluation.num_sets=0",
      "--config.evaluation.networks_per_set=0",
      "--config.evaluation.baselines=random_real", f"--cache_dir={home}",
      "--data=folder:pictures"
  ]
  assert refused.code == MISTAKE and not none.exists()
  assert "`--dataset` must be given: or --data" in refused.err


def test_both_rivals_of_a_quantised_set_are_drawn():
  block = dict(num_samples=40, mean=0.5, std=0.1, stderr=0.05)
  report = dict(
      baselines=dict(byte_matched_quantised=block, byte_matched_real=block),
      num_samples=10,
      network="convnet",
      storage_bytes=dict(total=100),
      quantisation=dict(bits=4),
      accuracy=dict(mean=0.6, std=0.1, stderr=0.05, per_network=[0.6]),
      num_networks=1,
      label_regime="hard",
      seed=0,
      device="cpu",
      seconds={})
  found = evaluation_points.point("DM", 1, report, "bits")
  lines = [p["label"] for p in evaluation_points.drawn([found])]
  assert lines == ["DM", "real, quantised alike", "real, same bytes"]
  floats = dict(report, baselines=dict(byte_matched_real=block))
  found = evaluation_points.point("DM", 1, floats, "bits")
  assert found["real"] is None and len(found["beside"]) == 1
  older = {k: v for k, v in found.items() if k != "beside"}
  assert [p["label"] for p in evaluation_points.drawn([older])] == ["DM"]
