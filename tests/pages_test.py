"""Pages: valid, whole, safe with names from anywhere, small, and legible."""

import html
import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from unittest import mock

import html5lib
import jax.numpy as jnp
import numpy as np
import pytest

from distill_jax import artifact as artifacts
from distill_jax import pages
from distill_jax.errors import ConfigError, WorkdirError
from distill_jax.evaluation.baselines import Baseline
from distill_jax.evaluation.columns import summary
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.evaluator import Report
from distill_jax.evaluation.full_data import FullData
from distill_jax.evaluation.report import Measurements, Transfer, report_dict
from distill_jax.exchange import picture
from distill_jax.pages import comparison, content
from distill_jax.quantising import quantise
from distill_jax.text.embedding import WordVectors
from distill_jax.text.words import sentences

CHROMIUM = "/usr/bin/chromium"
MOST = 3_000_000  # bytes of a page
HOSTILE = [
    "<script>alert(1)</script>", "\" onload=\"alert(1)", "</style></title>",
    "{{ 7 * 7 }}", "x" * 200, "\u05d7\u05ea\u05d5\u05dc \u202e\u202e",
    "\N{CAT FACE}\N{ZERO WIDTH JOINER}\N{DOG FACE}", "line\nbreak\x00\x07",
    "a&b;<b>c", "javascript:alert(1)"
]
WORDS = "good bad <i>film</i> plot https://example.org/x.png".split()


def _set(kind="image", names=("cat", "dog", "fox"), shape=None, **settings):
  """Two samples of each class."""
  generator = np.random.default_rng(0)
  shape = shape or dict(
      image=(8, 8, 3), features=(5,), series=(9, 2), text=(4, 6))[kind]
  labels = np.arange(2 * len(names)) % len(names)
  inputs = generator.normal(0.5, 0.3, (len(labels), *shape))
  if kind == "text":
    table = jnp.asarray(generator.normal(size=(2 + len(WORDS), 6)), jnp.float32)
    words = np.frombuffer("\n".join(WORDS).encode(), np.uint8)
    settings["preprocessing"] = WordVectors(
        table.at[:2].set(0), jnp.asarray(words))
  return artifacts.from_samples(
      inputs.astype(np.float32),
      settings.pop("labels", labels),
      class_names=list(names),
      provenance=dict(seed=0, data="csv:my.csv"),
      **settings)


def _doubled(made):
  """A set of the same classes with twice the samples."""
  return artifacts.from_samples(
      np.tile(made.inputs, (2, 1, 1, 1)),
      np.tile(made.labels, (2, 1)),
      class_names=made.class_names)


def _report(made, num_networks=3, **more):
  """What is measured of a set, without measuring it."""
  generator = np.random.default_rng(1)
  num = made.num_classes
  confusion = generator.integers(0, 5, (num_networks, num, num)) + 20 * np.eye(
      num, dtype=int)
  report = Report(
      confusion, np.full(num_networks, 0.9), "random", "student, in_order",
      made.recipe)
  random_real = Baseline(
      generator.uniform(0.3, 0.6, (2, num_networks)), 6, num,
      "student, in_order", 0.03, "validation", 0.4)
  return report_dict(
      Measurements(
          report, "convnet", {"random_real": random_real},
          **dict(dict(cost=Cost(2e6, 0.1)), **more)),
      made,
      data=dict(spec="csv:my.csv", fingerprint="0123"),
      seconds=dict(distill=12.0, evaluate=3.5),
      command="python experiments/distill.py --data='csv:a b.csv' --workdir=x")


def _full(made):
  """A report with everything in it."""
  report = _report(made)
  values = summary([0.5, 0.6, np.nan])
  everything = _report(
      made,
      full_data=FullData(0.95, Cost(1e9, 3.0)),
      references={"a <b>linear</b> model": dict(accuracy=0.8, macro_f1=0.7)},
      networks={
          "<b>mlp</b>":
              Transfer(
                  Report(
                      np.asarray([report["confusion"]]), np.ones(1), "random",
                      "student", None), Baseline(np.eye(2), 6, 3, "student")),
          "bare":
              Transfer(
                  Report(
                      np.asarray([report["confusion"]]), np.ones(1), "random",
                      "student", None))
      },
      columns=dict(
          attacks=dict(
              unit="pixels",
              eps=8 / 255,
              num_steps=20,
              num_samples=100,
              clean=values,
              fgsm=values,
              pgd=values,
              random_signs=values,
              zero_gradient=values),
          calibration=dict(num_bins=15, ece=values, nll=values)))
  everything |= dict(
      findings=["Nothing <b>moved</b>."],
      memory_bytes=10**9,
      bits_per_class=8.5)
  everything["accuracy"]["diverged"] = 1
  return everything


def _folder(where, made, report, log=True):
  """A finished run."""
  where.mkdir(parents=True, exist_ok=True)
  made.save(where / "distilled.safetensors")
  (where / "report.json").write_text(json.dumps(report))
  (where / "config.json").write_text(
      json.dumps(dict(config={"<x>": "</pre>"}, git_revision="abc")))
  if log:
    (where / "metrics.jsonl").write_text(
        "".join(
            json.dumps(dict(step=10 * i, seconds=1.0 * i, loss=1 / i)) + "\n"
            for i in (1, 2, 3)))
  return where


def _checked(path):
  """The tree and the text of a page that is valid, whole and small."""
  text = Path(path).read_text("utf-8")
  tree = html5lib.HTMLParser(
      strict=True, namespaceHTMLElements=False).parse(text)
  assert len(text.encode()) < MOST
  assert tree.get("lang") == "en" and tree.findtext(".//title").strip()
  assert tree.find(".//meta[@name='viewport']") is not None
  assert not tree.findall(".//script")
  levels = [
      int(e.tag[1]) for e in tree.iter() if re.fullmatch("h[1-6]", str(e.tag))
  ]
  assert levels[0] == 1 and levels.count(1) == 1
  assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
  for element in tree.iter():
    for name, value in element.attrib.items():
      assert not name.startswith("on"), (name, value)
      if name in ("src", "srcset", "data", "action", "poster", "href"):
        assert value.startswith("data:"), value
      assert "url(" not in value and "expression(" not in value
    if element.tag == "img":
      assert len(element.get("alt")) > 5
    if element.tag == "th":
      assert element.get("scope") in ("col", "row"), element.text
  style = "".join(e.text for e in tree.iter("style"))
  assert "url(" not in style and "@import" not in style
  return tree, text


def _texts(tree):
  return " ".join(" ".join(tree.itertext()).split())


CASES = dict(
    images=dict(),
    one_network=dict(num_networks=1),
    two_classes=dict(names=("no", "yes")),
    one_output=dict(names=("no", "yes"), labels=np.float32([[0], [1]] * 2)),
    soft=dict(labels=np.full((6, 3), 1 / 3, np.float32)),
    logits=dict(labels=np.eye(3, dtype=np.float32)[[0, 1, 2] * 2] * 4),
    five_channels=dict(shape=(8, 8, 5)),
    table=dict(kind="features"),
    series=dict(kind="series"),
    text=dict(kind="text"),
    thirty_classes=dict(names=[*map(str, range(30))]),
    many_classes=dict(
        kind="features", names=[f"class {i}" for i in range(200)]))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("draw", [False, None])
def test_pages_of_every_kind_are_valid_and_whole(name, draw, tmp_path):
  settings = dict(CASES[name])
  networks = settings.pop("num_networks", 3)
  if name == "logits":
    settings["label_space"] = "logits"
  made = _set(**settings)
  report = _report(made, networks)
  path = pages.write_report(_folder(tmp_path / "run", made, report), draw=draw)
  assert path == tmp_path / "run" / "report.html"
  tree, text = _checked(path)
  said = _texts(tree)
  mean = 100 * report["accuracy"]["mean"]
  assert f"{mean:.2f} ± " in said or networks == 1 and f"{mean:.2f}" in said
  assert "12.0 s" in said and report["verdict"] in said
  pictures = tree.findall(".//img")
  if draw is False:
    assert len(pictures) == (settings.get("shape", 0)
                             != (8, 8, 5)) * ("kind" not in settings)
    assert "pip install matplotlib" in said
    assert ("Class by class: " in said) == bool(pictures)
  else:
    assert len(pictures) >= 2 + (name != "five_channels")
  cells = len(tree.findall(".//table[@class='matrix']//td"))
  cells += len(tree.findall(".//table[@class='matrix short']//td"))
  classes = made.num_classes
  assert cells == (classes**2 if classes <= 20 else 0)
  assert ("have no confusion matrix" in said) == (name == "many_classes")
  if name == "text":
    assert all(html.escape(" ".join(line)) in text for line in sentences(made))


def test_everything_that_a_report_may_have(tmp_path):
  made = _set()
  tree, _ = _checked(
      pages.write_evaluation(_full(made), made, tmp_path / "made.html"))
  said = _texts(tree)
  for part in ("Nothing <b>moved</b>.", "DIVERGED networks: 1 of 3",
               "On several networks", "<b>mlp</b> 1 ", " – – – – ", "PGD-20",
               "15 bins", "8 bits a class", "all data: 95.00",
               "a <b>linear</b> model on all data: 80.00",
               "training one network on all data 3.0 s", "8/255 (pixels)",
               "'--data=csv:a b.csv'"):
    assert part in said, part


def test_the_matrix_and_its_worst_pairs(tmp_path):
  made = _set()
  report = _report(made, 2)
  report["confusion"] = [[18, 2, 0], [5, 15, 0], [0, 10, 10]]
  tree, _ = _checked(
      pages.write_evaluation(report, made, tmp_path / "made.html"))
  rows = tree.findall(".//table[@class='matrix short']/tbody/tr")
  shown = [[cell.text for cell in row.findall("td")] for row in rows]
  assert shown == [["90", "10", "·"], ["25", "75", "·"], ["·", "50", "50"]]
  said = _texts(tree)
  assert "fox dog 10 50.0 dog cat 5 25.0 cat dog 2 10.0 30 test" in said


def test_names_are_escaped_everywhere(tmp_path):
  made = _set(names=HOSTILE, kind="image")
  made = made._replace(method="<u>m</u>")
  made.provenance.update(title="<s>DM</s>", data="csv:</title><img src=x>")
  report = _report(made)
  report["command"] = "python '</pre><script>alert(2)</script>"
  report["data"]["spec"] = "csv:</title><img src=x onerror=alert(1)>"
  folder = _folder(tmp_path / "run", made, report)
  tree, text = _checked(pages.write_report(folder, draw=False))
  for mark in ("<script", "<s>", "<u>", "<img src=x", "</pre><", "<b>c", "\x07",
               "\u202e"):
    assert mark not in text, mark
  said = _texts(tree)
  assert "{{ 7 * 7 }}" in said and "<script>alert(1)</script>" in said
  _checked(pages.write_comparison([folder], tmp_path / "c.html", draw=False))


def _noise(folder):
  """Figures that no format compresses: 9 MB each."""
  from PIL import Image

  (folder / "figures").mkdir()
  pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3))
  image = Image.fromarray(pixels.astype(np.uint8))
  image.save(folder / "figures" / "samples.png", compress_level=0)
  shutil.copy(
      folder / "figures" / "samples.png", folder / "figures" / "curves.png")


def test_the_size_is_bounded(tmp_path):
  made = _set(names=[*map(str, range(50))], shape=(96, 96, 3))
  folder = _folder(tmp_path / "run", made, _report(made))
  without = mock.patch("distill_jax.figures.theme.can_draw", return_value=False)
  with mock.patch("distill_jax.pages.pictures._has", return_value=False):
    with without:
      tree, _ = _checked(pages.write_report(folder))
  assert len(tree.findall(".//img")) == 1
  _noise(folder)
  with mock.patch("distill_jax.figures.theme.can_draw", return_value=False):
    tree, _ = _checked(pages.write_report(folder))
    assert len(tree.findall(".//img")) == 2
  with mock.patch("distill_jax.figures.theme.can_draw", return_value=False):
    page = pages.write_comparison(4 * [folder], tmp_path / "all.html")
  tree, _ = _checked(page)
  assert len(tree.findall(".//img")) == 8
  made.provenance["note"] = 40_000 * ["x" * 100]
  with mock.patch("distill_jax.figures.theme.can_draw", return_value=False):
    _checked(pages.write_evaluation(_report(made), made, tmp_path / "m.html"))


def test_figures_of_the_folder_are_those_of_the_page(tmp_path):
  made = _set()
  folder = _folder(tmp_path / "run", made, _report(made))
  (folder / "figures").mkdir()
  (folder / "figures" / "curves.png").write_bytes(picture(made))
  with mock.patch("distill_jax.figures.theme.can_draw", return_value=False):
    tree, _ = _checked(pages.write_report(folder))
  alts = [image.get("alt") for image in tree.findall(".//img")]
  assert len(alts) == 2 and alts[1].startswith("Line chart of the loss")


def test_headings_name_the_set_and_figures_do_not():
  made = _set()
  for titled in True, False:
    drawn = dict(pages.figures_of(made, _report(made), titled=titled))
    assert bool(drawn["baselines"].get_suptitle()) == titled


def test_pages_say_from_where_the_set_is_loaded(tmp_path):
  made = _set()
  tree, _ = _checked(
      pages.write_report(_folder(tmp_path / "run", made, _report(made))))
  assert 'dd.load("distilled.safetensors")' in _texts(tree)
  (tmp_path / "out").mkdir()
  made.save(tmp_path / "run" / "mine.safetensors")
  page = tmp_path / "out" / "m.html"
  run = tmp_path / "run"
  for file, said, name in ((run / "mine.safetensors",
                            "in the folder of this page",
                            "../run/mine.safetensors"),
                           (run, "in the folder of this page",
                            "../run/distilled.safetensors"),
                           (None, "from where it was saved",
                            "FILE.safetensors")):
    tree, _ = _checked(
        pages.write_evaluation(_report(made), made, page, file=file))
    assert said in _texts(tree) and f'dd.load("{name}")' in _texts(tree)


@pytest.mark.parametrize(
    "kind, said", [("image", "pixels"), ("features", ""), ("series", ""),
                   ("text", "")])
def test_only_images_are_stored_as_pixels(kind, said):
  made = _set(kind)
  found = content.facts(made, _report(made))
  assert found.get("Parameterization", "") == said
  assert found["Samples"]


def test_rows_of_few_bits_say_so():
  made = quantise(_set("features"), bits=4)
  found = content.facts(made, _report(made))["Parameterization"]
  assert found.startswith("quantised, 4 bits a value, labels ")


def test_the_tile_of_the_gain_has_its_margin(tmp_path):
  made = _set()
  report = _report(made)
  report["baselines"]["random_real"]["gain"]["margin"] = 0.123
  tree, _ = _checked(pages.write_evaluation(report, made, tmp_path / "m.html"))
  assert "95 % interval ± 12.3" in _texts(tree)
  assert f"{report['num_test_samples']} test samples" in _texts(tree)


def test_reports_of_earlier_versions(tmp_path):
  made = _set()
  report = _report(made)
  for field in ("confusion", "compressed_bytes", "bits_per_class", "cost",
                "min_class", "num_test_samples"):
    del report[field]
  for entry in (report["accuracy"], *report["baselines"].values()):
    del entry["macro_f1"], entry["diverged"]
  report["baselines"]["random_real"]["gain"] = dict(mean=0.1, stderr=0.01)
  folder = _folder(tmp_path / "run", made, report, log=False)
  (folder / "config.json").unlink()
  tree, _ = _checked(pages.write_report(folder, draw=False))
  assert "confused" not in _texts(tree)


def _spoiled(file, content):
  return lambda folder: (folder / file).write_bytes(content)


def _changed(change):

  def spoil(folder):
    report = json.loads((folder / "report.json").read_text())
    change(report)
    (folder / "report.json").write_text(json.dumps(report))

  return spoil


@pytest.mark.parametrize(
    "spoil, message",
    [(
        lambda folder: (folder / "report.json").unlink(),
        "`folder` must hold a finished run; .* has no report.json"),
     (
         lambda folder: (folder / "distilled.safetensors").unlink(),
         "has no distilled.safetensors"),
     (_spoiled("report.json", b"{"), "report.json must hold JSON; "),
     (_spoiled("report.json", b"[]"), "must hold JSON; it is no dict"),
     (_spoiled("config.json", b"\xff"), "config.json must hold JSON; "),
     (_spoiled("distilled.safetensors", b"x"), "distilled.safetensors"),
     (
         lambda folder: (folder / "figures").mkdir() or
         (folder / "figures" / "samples.png").write_bytes(b"x"),
         "samples.png must be a PNG file"),
     (_changed(lambda r: r.update(schema_version=9)), "of schema 1; got 9"),
     (_changed(lambda r: r.pop("accuracy")), "`accuracy` must be in it"),
     (
         _changed(lambda r: r["accuracy"].update(mean="<b>")),
         "`accuracy.mean` must be int or float; got '<b>'"),
     (
         _changed(lambda r: r["baselines"].update(x=[])),
         "`baselines.x` must be an object; got"),
     (
         _changed(lambda r: r.update(confusion=[[1, 2], [3, 4]])),
         r"`confusion` must be \[3, 3\]"),
     (_changed(lambda r: r.update(num_networks=True)), "must be int; got True"),
     (
         _changed(lambda r: r.update(num_samples=5)),
         "which has 6 samples; got 5")])  # fmt: skip
def test_damaged_folders_are_refused_in_one_line(spoil, message, tmp_path):
  made = _set()
  folder = _folder(tmp_path / "run", made, _report(made))
  spoil(folder)
  with pytest.raises(ValueError, match=message) as caught:
    pages.write_report(folder, draw=False)
  assert "\n" not in str(caught.value)
  assert not (folder / "report.html").exists()


def test_a_comparison_has_every_run(tmp_path):
  sets = dict(images=_set(), words=_set("text"), table=_set("features"))
  folders = [
      _folder(
          tmp_path / name / "run", made, _report(made, 1 + (name != "words")))
      for name, made in sets.items()
  ]
  path = pages.write_comparison(folders, tmp_path / "all.html")
  assert path == tmp_path / "all.html"
  tree, _ = _checked(path)
  said = _texts(tree)
  assert all(f"{name}/run" in said for name in sets)
  assert "The runs differ in bytes: read" in said
  assert len(tree.findall(".//img")) == 1 + 2 + 3
  _checked(pages.write_comparison(folders, path, draw=False))
  _checked(pages.write_comparison(20 * folders, path, draw=False))


def test_a_comparison_joins_runs_that_differ_in_their_seed(tmp_path):
  made, folders = _set(), []
  plain = dict(method=dict(name="dm"), validation_fraction=0.1, data="digits")
  # Name, seed, accuracy, its standard error, what else is different.
  runs = [
      ("a", 0, 0.5, 0.01, {}),
      ("b", 1, 0.6, 0.02, dict(log_every=7)),
      ("c", 2, 0.7, 0.06, dict(evaluation=dict(baselines="all"))),
      ("again", 2, 0.1, 0.01, {}),
      ("method", 3, 0.2, 0.01, dict(method=dict(name="dc"))),
      ("data", 4, 0.2, 0.01, dict(data="mnist")),
      ("split", 5, 0.2, 0.01, dict(validation_fraction=0.5)),
      ("networks", 6, 0.2, 0.01, {}),
  ]
  for name, seed, mean, error, other in runs:
    report = _report(made, 3 if name == "networks" else 2)
    report["accuracy"] |= dict(mean=mean, stderr=error)
    report["data"]["fingerprint"] = f"validation part of seed {seed}"
    folder = _folder(tmp_path / name, made, report)
    (folder / "config.json").write_text(
        json.dumps(dict(seed=seed, config=plain | other | dict(seed=seed))))
    folders.append(folder)
  tree, _ = _checked(
      pages.write_comparison(folders, tmp_path / "c.html", draw=False))
  headings = [e.text for e in tree.findall(".//h2")]
  assert headings[1] == "Same settings, other seeds"
  table = tree.findall(".//table")[1]
  rows = ["".join(row.itertext()).split() for row in table.iter("tr")]
  assert rows[1:] == [[
      "a,", "b,", "c", "60.00", "10.00", "50.00", "70.00", "3.00"
  ]]
  alike, _ = _checked(
      pages.write_comparison(folders[:4], tmp_path / "c.html", draw=False))
  assert "The runs differ" not in "".join(alike.itertext())
  report = json.loads((folders[3] / "report.json").read_text())
  report["data"]["fingerprint"] = "other data, same seed"
  (folders[3] / "report.json").write_text(json.dumps(report))
  other, _ = _checked(
      pages.write_comparison(folders[:4], tmp_path / "c.html", draw=False))
  assert "The runs differ in data" in "".join(other.itertext())
  alone, _ = _checked(
      pages.write_comparison(folders[3:], tmp_path / "c.html", draw=False))
  assert "Same settings" not in "".join(alone.itertext())


def test_long_names_of_folders_show_their_start_and_end(tmp_path):
  folders, a = [], "a" * 70
  for name in (f"{a}_one", f"{a}_two", f"dm/{a}", f"mtt/{a}"):
    made = _set()
    report = _report(made)
    report["data"]["fingerprint"] = name
    folders.append(_folder(tmp_path / name, made, report))
  tree, _ = _checked(
      pages.write_comparison(folders, tmp_path / "c.html", draw=False))
  said = _texts(tree)
  assert "…" in said
  assert all(part in said for part in ("a_one", "a_two", "dm/a", "mtt/a"))
  assert "The runs differ in data: read" in said
  names = [comparison._shortened(f"{end}/{a}", 28) for end in ("dm", "mtt")]
  assert len(set(names)) == 2 and {len(name) for name in names} == {28}


def test_one_network_has_no_standard_error(tmp_path):
  made, folders = _set(), []
  for seed in (0, 1):
    folder = _folder(tmp_path / str(seed), made, _report(made, 1))
    (folder / "config.json").write_text(
        json.dumps(dict(seed=seed, config=dict(seed=seed))))
    folders.append(folder)
  tree, _ = _checked(
      pages.write_comparison(folders, tmp_path / "c.html", draw=False))
  row = list(tree.findall(".//table")[1].iter("tr"))[1]
  assert "".join(row.itertext()).split()[-1] == "–"


def test_paths_that_are_refused(tmp_path):
  made = _set()
  with pytest.raises(ConfigError, match="`path` must end in .html; got"):
    pages.write_evaluation(_report(made), made, tmp_path / "report.json")
  with pytest.raises(ConfigError, match="`folders` must name at least one"):
    pages.write_comparison([], tmp_path / "c.html")
  with pytest.raises(WorkdirError, match="has no report.json"):
    pages.write_comparison([tmp_path], tmp_path / "c.html")
  with pytest.raises(WorkdirError, match="`report` must be of the set beside"):
    pages.write_evaluation(_report(made), _doubled(made), tmp_path / "c.html")


_WRAPPER = """<!DOCTYPE html><title>measure</title>
<body><iframe id="page" width="{width}" height="800" src="{page}"></iframe>
<script>
onload = () => {{
  const page = document.getElementById("page").contentWindow;
  const root = page.document.documentElement;
  const wanted = page.performance.getEntriesByType("resource");
  document.body.dataset.found = JSON.stringify({{
    width: page.innerWidth, needed: root.scrollWidth, height: root.scrollHeight,
    broken: [...page.document.images].filter(i => !i.naturalWidth).length,
    images: page.document.images.length,
    tiles: [...page.document.querySelectorAll(".tiles dd")].filter(
      e => e.scrollWidth > e.clientWidth).length,
    requests: wanted.map(e => e.name).filter(n => !n.startsWith("data:"))
  }});
}};
</script>
"""


def _measured(page, width, folder):
  """What a browser makes of a page in a frame of so many pixels."""
  wrapper = folder / f"{page.stem}_{width}.htm"
  wrapper.write_text(_WRAPPER.format(width=width, page=page.as_uri()))
  command = [
      CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
      "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
      "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}",
      "--window-size=1600,1000", "--virtual-time-budget=5000", "--dump-dom",
      wrapper.as_uri()
  ]
  done = subprocess.run(command, capture_output=True, text=True, timeout=120)
  found = re.search(r'data-found="([^"]*)"', done.stdout)
  assert found, done.stderr[-2_000:]
  return json.loads(html.unescape(found[1]))


@pytest.mark.skipif(
    not shutil.which(CHROMIUM), reason=f"there is no browser {CHROMIUM}")
def test_a_phone_needs_no_sideways_scrolling(tmp_path):
  made = _set(names=HOSTILE)
  full = _full(made)
  full["accuracy"] |= dict(mean=1.0, std=0.1234)
  full["baselines"]["random_real"] |= dict(mean=1.0, std=0.0)
  folder = _folder(tmp_path / "run", made, full)
  report = pages.write_report(folder)
  texts = _set("text", names=HOSTILE)
  other = _folder(tmp_path / ("long_name_" * 12), texts, _report(texts))
  both = pages.write_comparison([folder, other], tmp_path / "both.html")
  measured = partial(_measured, folder=tmp_path)
  for page, images in ((report, 3), (both, 4)):
    for width in (320, 1280):
      found = measured(page, width)
      assert found["width"] == width and found["height"] > 1_000
      assert found["needed"] <= width, (page.name, found)
      assert found["images"] == images and not found["broken"]
      assert found["requests"] == [] and not found["tiles"]
