"""Rows are run by their programs, recorded once, and drawn."""

import json

import launch
import launching
import pytest

# Programs that write reports instead of running; what was asked is kept. Two
# commands see the folder of the first one.
FAKE = """
import json
import launched
from pathlib import Path
launcher.ROOT = launched.ROOT = home = Path({home!r})
launcher.DOCS = home / "docs"
REPORTS = dict(
    distill=dict(
        num_samples=10, student_init="random", label_regime="hard",
        accuracy=dict(mean=0.5, std=0.1), seconds=dict(distill=61.0), seed=0,
        num_networks=3, device="cpu", baselines=dict(),
    ),
    embed=dict(distance_to_nearest=dict(IDC=1.0, EDD=2.0), num_real=7),
)
def fake(program):
  def run(folder, arguments, sets=()):
    file = home / folder / launched.REPORTS[program]
    file.parent.mkdir(parents=True, exist_ok=True)
    if program == "distill":
      (file.parent / "distilled.safetensors").touch()
    else:
      file.with_suffix(".png").write_bytes(b"picture")
    command = [program, *arguments, *(f"{{k}}={{sets[k]}}" for k in sets)]
    file.touch()
    return dict(REPORTS[program], command=" ".join(command))
  return run
for program in REPORTS:
  setattr(launched, program, fake(program))
"""


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
  """(folder, results): a row, the same again, sets missing, and there."""
  home = tmp_path_factory.mktemp("reproduce")
  (home / "docs").mkdir()
  for name in ("idc", "edd"):
    folder = home / "there" / f"width32_{name}_fashion_mnist_20"
    folder.mkdir(parents=True)
    (folder / "distilled.safetensors").touch()
  return home, launching.elsewhere(
      "reproduce",
      ("--rows=sldd_digits", f"--workdir={home}/runs", "--data_dir=/data"),
      ("--rows=sldd_digits", f"--workdir={home}/other"),
      ("--rows=tsne_fashion_mnist_20", f"--workdir={home}/none"),
      ("--rows=tsne_fashion_mnist_20", f"--workdir={home}/there"),
      cache=home / "cache", before=FAKE.format(home=str(home)),
  )


def _records(home, group):
  return json.loads((home / "docs" / "results" / f"{group}.json").read_text())


def test_a_row_is_recorded_once(reproduced):
  home, (first, again, *_) = reproduced
  assert (first.code, again.code) == (0, 0), first.err + again.err
  record, = _records(home, "digits")
  assert record["command"] == (
      "distill --config=experiments/configs/sldd_digits.py --cache_dir=other"
  )
  page = (home / "docs" / "results.md").read_text()
  assert "| `sldd_digits` | 10 | random | hard | **50.00 ± 10.00** |" in page


def test_places_are_passed_on(reproduced):
  home, _ = reproduced
  assert (home / "runs" / "sldd_digits" / "report.json").exists()
  assert (home / "other" / "sldd_digits" / "report.json").exists()


def test_sets_of_other_rows_and_a_figure(reproduced):
  home, (_, _, missing, there) = reproduced
  assert missing.code == launch.MISTAKE
  assert "takes the set of width32_idc_fashion_mnist_20; run that" in (
      missing.err
  )
  assert there.code == 0, there.err
  record, = _records(home, "embeddings")
  assert record["command"].endswith(
      "EDD=there/width32_edd_fashion_mnist_20/distilled.safetensors"
  )
  picture = home / "docs" / "figures" / "tsne_fashion_mnist_20.png"
  assert picture.read_bytes() == b"picture"
  assert "IDC 1.00, EDD 2.00" in (home / "docs" / "results.md").read_text()
