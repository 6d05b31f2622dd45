"""Text from a CSV file to a distilled set and back, through the launchers."""

import json
import shutil

import build
import chex
import jax
import launching
import numpy as np
import pytest

from distill_jax import artifact
from distill_jax.text import words

CONFIGS = launching.CONFIGS
TINY = (
    "--config.network.width=4", "--config.text.dim=6", "--config.text.length=8",
    "--config.num_steps=60", "--config.log_every=20",
    "--config.checkpoint_every=20", "--config.evaluation.num_networks=4",
    "--config.evaluation.num_sets=2", "--config.learning_rate=0.1",
)


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
  """Folder and result of one run with every figure; tests leave it as it is."""
  folder = tmp_path_factory.mktemp("texts")
  spec = _write(folder)
  result = launching.distil(
      f"--config={CONFIGS / 'tdd_tweets.py'}:own,samples=6,steps=2,epochs=1",
      *TINY, f"--data={spec}", f"--workdir={folder / 'run'}",
      "--config.evaluation.baselines=random_real,byte_matched_real",
      "--config.evaluation.full_data=true",
  )
  assert result.code == 0, result.err
  return folder / "run", result, spec


def test_files_and_report(trained):
  folder, result, _ = trained
  for name in ("distilled.safetensors", "words.txt", "figures/samples.png",
               "figures/heat_maps.png", "figures/curves.png"):
    assert (folder / name).is_file(), name
  report = json.loads((folder / "report.json").read_text())
  assert report["data"]["vectors"].startswith("PPMI and SVD")
  assert report["data"]["tokens_with_vectors"]["test"] == 1.0
  assert report["data"]["length"] == 8
  linear = report["references"]["TF-IDF and a linear classifier"]
  assert linear["accuracy"] > 0.9 and linear["macro_f1"] > 0.9
  assert {"macro_f1", "mean"} <= set(report["snapped_accuracy"])
  for baseline in report["baselines"].values():
    assert 0 < baseline["macro_f1"] <= 1
  # 6 sentences of 8 x 6 floats and 3 labels; a word takes two bytes.
  assert report["baselines"]["byte_matched_real"]["num_samples"] == min(
      (6 * 8 * 6 * 4 + 6 * 3 * 4 + 2 * 4) // (2 * 8 + 1), 150 * 9 // 10
  ) // 2 * 2
  assert "as its nearest words" in result.out
  assert "have a vector" in result.err


def test_the_set_carries_its_words(trained):
  folder, _, _ = trained
  distilled = artifact.load(folder / "distilled.safetensors")
  assert distilled.modality == "text" and distilled.inputs.shape == (6, 8, 6)
  lines = (folder / "words.txt").read_text().splitlines()
  classes, lines = zip(*(line.split("\t") for line in lines), strict=True)
  assert set(classes) <= set("abc")
  assert [line.split() for line in lines] == words.sentences(distilled)
  known = {f"w{i}" for i in range(12)} | {"up", "down", "side"}
  assert {word for line in lines for word in line.split()} <= known
  snapped = words.snapped(distilled)
  assert words.sentences(snapped) == words.sentences(distilled)
  np.testing.assert_array_equal(
      words.snapped(snapped).inputs, snapped.inputs
  )
  with pytest.raises(ValueError, match="must hold sentences"):
    words.sentences(distilled._replace(preprocessing=None))


def test_evaluated_again_as_it_was(trained, tmp_path):
  """Only the artifact and the SPEC: tokens and length come with the set."""
  folder, _, spec = trained
  spec = spec.replace("&tokens=spaces", "")
  result, = launching.elsewhere("evaluate", (
      f"--artifact={folder / 'distilled.safetensors'}", f"--data={spec}",
      "--num_networks=3", f"--out={tmp_path / 'report.json'}",
  ), cache=tmp_path)
  assert result.code == 0, result.err
  again = json.loads((tmp_path / "report.json").read_text())
  assert again["data"]["tokens"] == "spaces" and again["num_networks"] == 3


def test_a_set_of_words(tmp_path):
  spec = _write(tmp_path)
  command = (
      f"--config={CONFIGS / 'tdd_tweets.py'}:own,samples=3,steps=1,epochs=2,"
      "snap=2,fixed", *TINY, "--config.snap.num_steps=20",
      "--config.text.sample_length=5", f"--data={spec}",
      f"--workdir={tmp_path / 'run'}", "--config.figures=false",
      "--config.evaluation.num_networks=1",
  )
  result = launching.distil(*command)
  assert result.code == 0, result.err
  distilled = artifact.load(tmp_path / "run" / "distilled.safetensors")
  assert distilled.inputs.shape == (3, 5, 6)
  np.testing.assert_array_equal(
      words.snapped(distilled).inputs, distilled.inputs
  )
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert report["snapped_accuracy"]["mean"] == report["accuracy"]["mean"]
  hard = np.eye(3, dtype=np.float32)
  assert not np.array_equal(distilled.labels, hard)
  assert not np.allclose(distilled.step_sizes, 0.1)
  longer = launching.distil(*command, "--config.num_steps=80")
  assert longer.code == 2 and "num_steps (60 there, 80 here)" in longer.err
  for name in ("1_words", "2_vectors", "2_words"):
    log = tmp_path / "run" / "snapped" / name / "metrics.jsonl"
    assert len(log.read_text().splitlines()) == 1
  (tmp_path / "run" / "distilled.safetensors").unlink()
  shutil.rmtree(tmp_path / "run" / "snapped" / "2_words")
  again = launching.distil(*command)
  assert again.code == 0, again.err
  assert again.err.count("resumed at step 60 of 60") == 1
  assert again.err.count("resumed at step 20 of 20") == 2
  resumed = artifact.load(tmp_path / "run" / "distilled.safetensors")
  chex.assert_trees_all_equal(
      resumed.training_set.samples, distilled.training_set.samples
  )


def test_two_classes_have_one_logit(tmp_path):
  spec = _write(tmp_path, classes=2)
  result = launching.distil(
      f"--config={CONFIGS / 'tdd_imdb.py'}:own,samples=2", *TINY,
      f"--data={spec}", f"--workdir={tmp_path / 'run'}",
      "--config.text.max_words=0", "--config.evaluation.baselines=",
      "--config.figures=false",
  )
  assert result.code == 0, result.err
  distilled = artifact.load(tmp_path / "run" / "distilled.safetensors")
  assert distilled.labels.shape == (2, 1)
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert report["accuracy"]["mean"] > report["majority_rate"] + 0.1


@pytest.mark.parametrize(("arguments", "message"), [
    (("--config.text.vectors=absent.txt",), "no absent.txt"),
    (("--config.text.sample_length=3",), "must suit the network; got 3"),
    (("--config.text.sample_length=9",), "`text.sample_length` must be 1"),
    (("--config.snap.rounds=1", "--config.learn_labels=false"),
     "`snap.rounds` must be 0"),
    (("--config.preprocessing=standardise",), "must be word_vectors"),
    (("--config.text.corpora=('digits',)",), "must be SPECs of texts"),
])
def test_mistakes_cost_a_line(tmp_path, arguments, message):
  spec = _write(tmp_path)
  result = launching.distil(
      f"--config={CONFIGS / 'tdd_tweets.py'}:own", *TINY, *arguments,
      f"--data={spec}", f"--workdir={tmp_path / 'run'}",
  )
  assert result.code == 2, result.err
  assert message in result.err and "Traceback" not in result.err
  assert not (tmp_path / "run" / "config.json").exists()


@pytest.fixture
def narrow():
  """A launcher of kernels widens its process: not that of later tests."""
  yield
  jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", ["dc", "dm", "kip"])
def test_other_objectives_on_texts(tmp_path, name):
  spec = _write(tmp_path)
  size = "samples=6" if name == "kip" else "ipc=2"
  smaller = () if name == "kip" else (
      "--config.network.width=4", "--config.recipe.num_epochs=5",
  )
  result = launching.distil(
      f"--config={CONFIGS / f'{name}_trec6.py'}:quick,own,{size}", *smaller,
      "--config.text.dim=6", "--config.text.length=8", "--config.num_steps=10",
      "--config.evaluation.baselines=", f"--data={spec}",
      f"--workdir={tmp_path / 'run'}",
  )
  assert result.code == 0, result.err
  distilled = artifact.load(tmp_path / "run" / "distilled.safetensors")
  assert distilled.modality == ("features" if name == "kip" else "text")
  read = build.source_of(distilled, spec, data_dir=None)
  assert read.facts["length"] == 8 and read.facts["tokens"] == "spaces"
  assert read.example.shape[1:] == distilled.inputs.shape[1:]


def test_a_table_with_an_mlp(tmp_path):
  generator = np.random.default_rng(0)
  for part, number in (("train", 90), ("test", 30)):
    rows = ["kind,a,b,c"]
    for i in range(number):
      x = generator.normal(size=3) + 3 * np.eye(3)[i % 3]
      rows.append(f"{'xyz'[i % 3]}," + ",".join(map(str, x)))
    (tmp_path / f"{part}.csv").write_text("\n".join(rows))
  result = launching.distil(
      f"--config={CONFIGS / 'sldd_table.py'}:quick,images=3,epochs=5",
      f"--data=csv:{tmp_path}?label=kind", "--config.evaluation.baselines=",
      "--config.evaluation.full_data=false", f"--workdir={tmp_path / 'run'}",
      "--config.num_steps=200",
  )
  assert result.code == 0, result.err
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert report["accuracy"]["mean"] > 0.9 and report["num_samples"] == 3
