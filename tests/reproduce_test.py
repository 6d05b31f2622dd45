"""Rows are run by their programs, recorded once, and drawn."""

import json

import launching
import pytest

from distill_jax.commands.process import MISTAKE

# Reports are written at once, without a run.
FAKE = """
import json
import launched
from pathlib import Path
launched.ROOT = home = Path({home!r})
launcher.DOCS = home / "docs"
accuracy = dict(mean=0.5, std=0.1, stderr=0.05, per_network=[0.4, 0.6])
found = dict(
    distill=dict(
        num_samples=10, student_init="random", label_regime="hard",
        accuracy=accuracy, seconds=dict(distill=61.0), seed=0,
        num_networks=2, device="cpu", data=dict(spec="idx:mnist"),
        baselines=dict(),
        recipe=dict(num_epochs=3),
    ),
    embed=dict(
        distance_to_nearest=dict(IDC=1.0, EDD=2.0), num_real=7, seed=0,
        network=dict(name="convnet"), num_epochs=2, device="cpu",
    ),
    sweep=dict(against="samples", points=[
        dict(
            label=label, samples_per_class=1, num_samples=10, bytes=1_000,
            num_networks=2, label_regime="hard", seed=0, device="cpu",
            seconds=dict(distill=1.0), real=None, **accuracy,
        ) for label in ("DSA", "DM")
    ]),
)
found["evaluate"] = dict(found["distill"], networks=dict(mlp=dict(
    accuracy=accuracy,
    random_real=dict(accuracy, gain=dict(mean=0.25, stderr=0.01)),
)))
def run(command):
  program = Path(command[1]).stem
  places = dict(part.split("=", 1) for part in command[2:])
  out = places.get("--workdir") or str(Path(places["--out"]).parent)
  file = home / out / launched.PROGRAMS[program].report
  if program == "distill":
    (file.parent / "distilled.safetensors").touch()
  else:
    file.with_suffix(".png").write_bytes(program.encode())
  file.write_text(json.dumps(dict(
      found[program], command=" ".join(["python", *command[1:]])
  )))
  return 0
launched._run = run
"""


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
  """(folder, results) of rows, and of one whose sets are not there."""
  home = tmp_path_factory.mktemp("reproduce")
  (home / "docs").mkdir()
  runs, set_of = f"--workdir={home}/runs", "width32_{}_fashion_mnist_20"
  results = launching.elsewhere(
      "reproduce", ("--rows=sldd_digits", runs, "--data_dir=/data"),
      ("--rows=sldd_digits", f"--workdir={home}/other"),
      ("--rows=tsne_fashion_mnist_20", runs),
      (f"--rows={set_of.format('idc')},{set_of.format('edd')}", runs),
      ("--rows=tsne_fashion_mnist_20,sweep_samples", runs),
      ("--rows=width32_dsa_mnist_10,width32_dsa_mnist_10_transfer", runs),
      ("--list",),
      before=FAKE.format(home=str(home)))
  return home, results


def _records(home, group):
  return json.loads((home / "docs" / "results" / f"{group}.json").read_text())


def _page(home):
  return (home / "docs" / "results.md").read_text()


def test_a_row_is_recorded_once(reproduced):
  home, (first, again, *_) = reproduced
  assert (first.code, again.code) == (0, 0), first.err + again.err
  record, = _records(home, "digits")
  assert record["command"] == (
      "python experiments/distill.py "
      "--config=experiments/configs/sldd.py:data=digits --cache_dir=other "
      "--workdir=other/sldd_digits")
  assert "| `sldd_digits` | 10 | random | hard | **50.00 ± 10.00** |" in (
      _page(home))


def test_places_are_passed_on(reproduced):
  home, _ = reproduced
  report = json.loads((home / "runs/sldd_digits/report.json").read_text())
  assert " --cache_dir=runs --data_dir=/data " in report["command"]


def test_a_row_takes_sets_of_rows_that_are_finished(reproduced):
  home, (_, _, missing, sets, there, *_) = reproduced
  assert missing.code == MISTAKE
  assert missing.err == (
      "error: row tsne_fashion_mnist_20 takes the set of "
      "width32_idc_fashion_mnist_20, which is not finished; run that one "
      "first.\n")
  assert (sets.code, there.code) == (0, 0), sets.err + there.err
  record, = _records(home, "embeddings")
  assert ",EDD=runs/width32_edd_fashion_mnist_20/" in record["command"]


@pytest.mark.parametrize(
    "row, text",
    [("tsne_fashion_mnist_20", "IDC 1.00, EDD 2.00. Seed 0, cpu"),
     ("sweep_samples", "- DSA over DM by samples per class: 1: +0.00 ± 0.00"),
     ("sweep_samples", "| DSA | 1 | 1,000 | **50.00 ± 10.00** | - | 2 |"),
     (
         "width32_dsa_mnist_10_transfer",
         "| mlp | **50.00 ± 10.00** | 50.00 ± 10.00 | +25.00 ± 1.00 | 2 |")])
def test_pictures_and_tables(reproduced, row, text):
  home, results = reproduced
  assert results[5].code == 0, results[5].err
  assert (home / "docs" / "figures" / f"{row}.png").exists()
  page = _page(home)
  assert text in page and f"(figures/{row}.png)" in page


def test_the_list_names_what_a_row_is_of(reproduced):
  lines = reproduced[1][-1].out.splitlines()
  row, = (line for line in lines if "dsa_mnist_10_transfer " in line)
  assert row.split()[1:] == ["evaluate", "width32_dsa_mnist_10"]
  assert any(
      line.split() == ["sldd_digits", "distill", "sldd.py:data=digits"]
      for line in lines)
