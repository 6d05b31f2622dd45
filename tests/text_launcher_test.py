"""Text and tables from CSV files to a distilled set and back."""

import json
import shutil

import chex
import launching
import numpy as np
import pytest

from distill_jax import artifact
from distill_jax.runs import source_of
from distill_jax.text import words

CONFIG = f"--config={launching.CONFIGS / 'tdd.py'}:data=tweets,own"
TINY = (
    "--config.network.width=4", "--config.text.dim=6", "--config.text.length=8",
    "--config.method.num_steps=40", "--config.log_every=20",
    "--config.evaluation.num_networks=4", "--config.evaluation.num_sets=2",
    "--config.method.learning_rate=0.1")


def _write(folder, classes=3):
  """Classes by one word in seven: clear, but not by the first word."""
  generator = np.random.default_rng(0)
  common = [f"w{i}" for i in range(12)]
  for part, number in (("train", 150), ("test", 60)):
    lines = ["text,label"]
    for i in range(number):
      telling = ("up", "down", "side")[i % classes]
      tokens = [*generator.choice(common, 6), telling]
      generator.shuffle(tokens)
      lines.append(f"{' '.join(tokens)},{'abc'[i % classes]}")
    (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")
  return f"csv:{folder}?text=text&tokens=spaces"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Folder and result of one run with every figure, whose sets end as words."""
  folder = tmp_path_factory.mktemp("texts")
  spec = _write(folder)
  command = (
      f"{CONFIG},rows=3,epochs=2,snap=2,fixed", *TINY, f"--data={spec}",
      "--config.method.snap_steps=20", "--config.method.sample_length=5",
      "--config.evaluation.baselines=random_real,byte_matched_real",
      "--config.evaluation.full_data=true", f"--workdir={folder / 'run'}")
  result = launching.distil(*command)
  assert result.code == 0, result.err
  return folder / "run", result, spec, command


def test_files_and_report(trained):
  folder, result, _, _ = trained
  for name in ("distilled.safetensors", "words.txt", "figures/samples.png",
               "figures/heat_maps.png", "figures/curves.png"):
    assert (folder / name).is_file(), name
  report = json.loads((folder / "report.json").read_text())
  assert report["data"]["vectors"].startswith("PPMI and SVD")
  assert report["data"]["tokens_with_vectors"]["test"] == 1.0
  assert report["data"]["length"] == 8
  linear = report["references"]["TF-IDF and a linear classifier"]
  assert linear["accuracy"] > 0.9 and linear["macro_f1"] > 0.9
  for baseline in report["baselines"].values():
    assert 0 <= baseline["macro_f1"] <= 1
  assert report["snapped_accuracy"]["mean"] == report["accuracy"]["mean"]
  assert "as its nearest words" in result.out
  assert "have a vector" in result.err


def test_the_set_is_of_words(trained):
  folder, _, _, _ = trained
  distilled = artifact.load(folder / "distilled.safetensors")
  assert distilled.modality == "text" and distilled.inputs.shape == (3, 5, 6)
  lines = (folder / "words.txt").read_text().splitlines()
  classes, lines = zip(*(line.split("\t") for line in lines), strict=True)
  assert set(classes) <= set("abc")
  assert [line.split() for line in lines] == words.sentences(distilled)
  known = {f"w{i}" for i in range(12)} | {"up", "down", "side"}
  assert {word for line in lines for word in line.split()} <= known
  np.testing.assert_array_equal(
      words.snapped(distilled).inputs, distilled.inputs)
  assert not np.array_equal(distilled.labels, np.eye(3, dtype=np.float32))
  assert not np.allclose(distilled.step_sizes, 0.1)


def test_evaluated_again_as_it_was(trained, tmp_path):
  """Only the artifact and the SPEC: tokens and length come with the set."""
  folder, _, spec, _ = trained
  distilled = artifact.load(folder / "distilled.safetensors")
  read = source_of(distilled, spec.replace("&tokens=spaces", ""))
  assert read.facts["tokens"] == "spaces" and read.facts["length"] == 8


def test_goes_on_within_its_parts(trained):
  folder, _, _, command = trained
  before = artifact.load(folder / "distilled.safetensors")
  longer = launching.distil(*command, "--config.method.num_steps=80")
  assert longer.code == 2
  assert "method.num_steps (40 there, 80 here)" in longer.err
  for name in ("1_words", "2_vectors", "2_words"):
    log = folder / "parts" / name / "metrics.jsonl"
    assert len(log.read_text().splitlines()) == 1
  shutil.rmtree(folder / "parts" / "2_words")
  again = launching.distil(
      *command, "--config.figures=false", "--config.evaluation.baselines=",
      "--config.evaluation.full_data=false")
  assert again.code == 0, again.err
  assert again.err.count("resumed at step 40 of 40") == 1
  assert again.err.count("resumed at step 20 of 20") == 2
  resumed = artifact.load(folder / "distilled.safetensors")
  chex.assert_trees_all_equal(
      resumed.training_set.samples, before.training_set.samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--config.text.vectors=absent.txt",), "no absent.txt"),
     (("--config.method.sample_length=3",), "must suit the network; got 3"),
     (("--config.method.sample_length=9",), "must be at most the length of"),
     (("--config.preprocessing=standardise",), "must be word_vectors"),
     (("--config.text.corpora=('digits',)",), "must be SPECs of texts")])
def test_mistakes_cost_a_line(tmp_path, arguments, message):
  spec = _write(tmp_path)
  result = launching.distil(
      CONFIG, *TINY, *arguments, f"--data={spec}",
      f"--workdir={tmp_path / 'run'}")
  assert result.code == 2, result.err
  assert message in result.err and "Traceback" not in result.err
  assert not (tmp_path / "run" / "config.json").exists()


def test_a_table_of_two_classes_has_one_logit(tmp_path):
  generator = np.random.default_rng(0)
  for part, number in (("train", 90), ("test", 30)):
    rows = ["kind,a,b,c"]
    for i in range(number):
      x = generator.normal(size=3) + 3 * np.eye(3)[i % 2]
      rows.append(f"{'xy'[i % 2]}," + ",".join(map(str, x)))
    (tmp_path / f"{part}.csv").write_text("\n".join(rows))
  result = launching.distil(
      f"--config={launching.CONFIGS / 'sldd.py'}:data=table,rows=2,epochs=5",
      f"--data=csv:{tmp_path}?label=kind", *launching.FEW,
      f"--workdir={tmp_path / 'run'}", "--config.method.num_steps=200",
      "--config.log_every=100")
  assert result.code == 0, result.err
  distilled = artifact.load(tmp_path / "run" / "distilled.safetensors")
  assert distilled.labels.shape == (2, 1)
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert report["accuracy"]["mean"] > 0.85 and report["num_samples"] == 2
