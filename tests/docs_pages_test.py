"""The documentation holds together, and its code runs.

`make test` looks at links, the table of contents, the address, and that every
block of code is run by some test. `make docs` runs the blocks here, in the
order of their page, on small data in place of those that the page speaks of;
methods take two steps and networks train two epochs unless a block says more.
"""

import csv
import functools
import gzip
import json
import pickle
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import brought
import documented
import extending_test
import jax
import launching
import numpy as np
import pytest
import readme_test
from documented import DOCS, FENCE, ROOT, blocks, text_of, without_blocks

import distill_jax as dd
from distill_jax import models
from distill_jax.applications import (
    continual,
    federated,
    privacy,
    robustness,
    search,
)
from distill_jax.evaluation import recipes
from distill_jax.methods import settings

BROUGHT = ("README.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md")
WRITTEN = [
    path for path in sorted(DOCS.glob("*.md")) if path.name != "benchmarks.md"
]
PAGES = [*WRITTEN, *(ROOT / name for name in BROUGHT)]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Marks of blocks that `readme_test` and `extending_test` run.
ELSEWHERE = {
    "doctest": "readme_test",
    "file": "extending_test",
    "run": "extending_test"
}


def without_code(text):
  """Markdown without fenced blocks, indented ones and code in a line."""
  return re.sub(
      r"`[^`]*`", lambda found: "x" * len(found[0]), without_blocks(text))


def anchors(path):
  """Names of a page's headings, as GitHub and the site make them."""
  found, seen = [], {}
  for title in re.findall(r"^#+ +(.*)$", FENCE.sub("", text_of(path)), re.M):
    title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
    name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
    seen[name] = seen.get(name, -1) + 1
    found.append(f"{name}-{seen[name]}" if seen[name] else name)
  return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_and_anchors_lead_somewhere(page):
  for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
    if re.match(r"[a-z]+:", target):
      continue
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    assert there.exists(), target
    assert not anchor or anchor in anchors(there), target


def test_every_page_is_in_the_table_of_contents():
  index = text_of(DOCS / "index.md")
  trees = re.findall(r"```\{toctree\}\n(.*?)```", index, re.S)
  named = {
      line for tree in trees for line in tree.splitlines()
      if line and not line.startswith(":")
  }
  assert {path.stem for path in WRITTEN} - {"index"} <= named
  assert {"benchmarks", "notebooks/*", "project/*"} <= named


def test_address_is_that_of_setup_cfg():
  url = runpy.run_path(str(DOCS / "conf.py"))["repository_url"]
  assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", url)
  place = url.removeprefix("https://github.com/")
  for path in NOTEBOOKS:
    cells = json.loads(text_of(path))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    badge = f"/github/{place}/blob/main/notebooks/{path.name})"
    assert badge in text, path.name
    assert f'REPOSITORY = "{url}"' in text, path.name


def own_blocks(page):
  """The Python that no other test runs."""
  return [
      code for marker, name, code in blocks(page) if name == "python" and
      marker not in ELSEWHERE and "import torch" not in code
  ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_block_is_run(page):
  """Of Python, by this module or another; `text` is what programs print."""
  for marker, name, code in blocks(page):
    assert name in ("python", "sh", "text", "none", "{toctree}"), name
    if marker == "doctest":
      assert page in readme_test.PAGES
    elif marker in ELSEWHERE:
      assert page == extending_test.PAGE
    elif name == "python" and "import torch" in code:
      where = page.relative_to(ROOT).as_posix()
      assert where in (*torch_pages(), "README.md")
    if name in ("none", "text"):
      assert not code.lstrip().startswith(("import ", "from ", ">>>")), code


def torch_pages():
  """Pages whose PyTorch is run by `torch_snippet_test`, maybe not installed."""
  text = text_of(ROOT / "tests" / "torch_snippet_test.py")
  return set(re.findall(r'"(docs/\w+\.md)"', text))


@pytest.mark.docs
def test_configurations_take_the_options_and_fields_of_commands():
  seen = 0
  for page in PAGES:
    for command in documented.commands(page):
      rest = [word for word in command[2:] if word != "--print_config"]
      if command[1:2] != ["experiments/distill.py"] or re.search(
          r"METHOD|FIELD|\.\.\.", " ".join(command)):
        continue
      if not any(word.startswith("--config") for word in rest):
        continue
      rest = [
          word.replace("experiments/configs", str(launching.CONFIGS))
          for word in rest
          if not word.startswith(("--coordinator", "--num_proc",
                                  "--process")) and word != "--together"
      ]
      result = launching.distil("--print_config", *rest)
      assert result.code == 0, (command, result.err)
      seen += 1
  assert seen > 10


def test_links_that_leave_the_folder_lead_to_the_repository():
  text = "[a](../experiments/x.py#b) [c](../notebooks/text.ipynb) [d](text.md)"
  made = brought.with_links(text, "docs/p.md", "docs/p.md", "URL")
  assert made == (
      "[a](URL/blob/main/experiments/x.py#b) [c](notebooks/text.ipynb) "
      "[d](text.md)")
  text = "[a](../docs/data.md#b) `[c](d)`\n```\n[e](../f)\n```\n"
  made = brought.with_links(
      text, "benchmarks/README.md", "docs/benchmarks.md", "URL")
  assert made.startswith("[a](data.md#b) ") and "[e](../f)" in made


def _few(entry):
  """A factory whose defaults take two steps."""
  few = dict(num_steps=2)
  for name, small in dict(teacher=dict(num_epochs=1),
                          experts=dict(num=2, num_epochs=4)).items():
    few[name] = {**(entry.defaults.get(name) or {}), **small}
  few = {name: few[name] for name in few if name in entry.defaults}
  return functools.wraps(
      entry.make)(lambda **given: entry.make(**{
          **few,
          **given
      }))


def _short(recipe):
  """A recipe of at most two epochs."""

  def made(*args, **given):
    spec = dict(recipe(*args, **given).spec)
    spec.pop("name")
    if "num_epochs" in spec:
      spec["num_epochs"] = min(2, spec["num_epochs"])
    return recipe(**spec)

  return made


def _images(rng, num, side=8):
  y = np.arange(num) % 10
  x = rng.integers(0, 80, (num, side, side))
  x[np.arange(num), y % side, y // side] = 255
  return x.astype(np.uint8), y


def _write_idx(folder, rng):
  folder.mkdir(parents=True)
  for part, num in ("train", 400), ("t10k", 50):
    x, y = _images(rng, num)
    for kind, array in ("images-idx3", x), ("labels-idx1", y):
      head = bytes([0, 0, 8, array.ndim])
      head += b"".join(size.to_bytes(4, "big") for size in array.shape)
      with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


def _write_originals(rng):
  """What `data_sets.md` makes files of."""
  Path("cifar-10-batches-py").mkdir()
  for name in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
    rows = rng.integers(0, 256, (20, 3_072)).astype(np.uint8)
    with open(f"cifar-10-batches-py/{name}", "wb") as file:
      pickle.dump({b"data": rows, b"labels": list(range(10)) * 2}, file)
  for name in "train_5500.label", "TREC_10.label":
    Path(name).write_text("HUM:ind Who ?\nNUM:date When ?\n" * 5)
  for part in "train", "test":
    for label in "neg", "pos":
      folder = Path("aclImdb", part, label)
      folder.mkdir(parents=True)
      for i in range(3):
        (folder / f"{i}.txt").write_text(f"a {label} film {i}")


@pytest.fixture
def names(tmp_path, monkeypatch):
  """A folder with small data, and what pages take as given."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("DISTILL_JAX_DATA", "DATA")
  for name, entry in list(settings.ENTRIES.items()):
    few = _few(entry)
    monkeypatch.setitem(settings.ENTRIES, name, entry._replace(make=few))
    if getattr(dd.methods, name) is entry.make:
      monkeypatch.setattr(dd.methods, name, few)
  for name, recipe in list(recipes.RECIPES.items()):
    monkeypatch.setitem(recipes.RECIPES, name, _short(recipe))
  usual = models.default
  monkeypatch.setattr(
      models, "default", lambda source: usual(source)
      if source.example.ndim == 3 else dict(name="mlp", widths=[8]))
  for (module, name), few in SMALL.items():
    whole = getattr(module, name)
    small = functools.wraps(whole)(functools.partial(whole, **few))
    monkeypatch.setattr(module, name, small)
  rng = np.random.default_rng(0)
  for name in "mnist", "fashion_mnist":
    _write_idx(tmp_path / "DATA" / name, rng)
  x, y = _images(rng, 400)
  x = x[..., None]
  Path("photos64").mkdir()
  np.save("photos64/x_train.npy", x)
  np.save("photos64/y_train.npy", y)
  with open("mine.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["review", "stars"])
    writer.writerows([[f"a {w} film of the year", w] for w in ("good", "bad")] *
                     20)
  key = jax.random.key(0)
  source = dd.from_arrays(x, y, validation_fraction=0.1)
  made = dd.from_samples(
      x[:20],
      y[:20],
      raw=True,
      class_names=source.class_names,
      preprocessing=source.preprocessing)
  made.save("dm.safetensors")
  return dict(
      dd=dd,
      np=np,
      jax=jax,
      x=x,
      y=y,
      source=source,
      key=key,
      secret_key=key,
      network=dd.mlp(10, widths=(8,)),
      made=made,
      images=x[:10],
      labels=y[:10])


def _with_views(names):
  made = dd.condense(names["source"], dd.methods.rded(), per_class=1)
  return dict(made=made)


def _of_applications(names):
  del names
  return dict(continual=continual, search=search)


def _of_privacy(names):
  """As many samples as the page has candidates."""
  del names
  x, y = _images(np.random.default_rng(0), 1_400)
  return dict(source=dd.from_arrays(x[..., None], y))


def _of_kernels(names):
  """Any network, and label rows."""
  x = names["x"].reshape(400, -1)
  return dict(network=lambda x: x[:, :10], x=x, y=np.eye(10)[names["y"]])


# What pages take as given besides `names`.
GIVEN = {
    "kernels": _of_kernels,
    "application_privacy": _of_privacy,
    "application_search": _of_applications,
    "data_sets": lambda names: _write_originals(np.random.default_rng(0)),
    "decoupled": _with_views
}
# What code needs beside the packages of tests.
EXTRAS = {"noised_means": "dp_accounting", "neural_tangents": "neural_tangents"}
_SHORT = {"name": "dsa", "num_epochs": 2, "strategy": ""}
# Applications in small, where their pages do not say more.
SMALL = {
    (continual, "compare"):
        dict(
            networks=["mlp"],
            num_networks=1,
            recipe=_SHORT,
            joint_steps=2,
            fine_tune_steps=2),
    (federated, "compare"):
        dict(num_networks=1, rounds=(1,), local_epochs=1, full_data=False),
    (federated, "run"): dict(num_networks=1),
    (privacy, "run"):
        dict(num_pipelines=6, num_canaries=2, recipe=_SHORT, early_steps=()),
    (robustness, "run"):
        dict(
            makers=["random_real", "kmeans"],
            num_networks=1,
            recipe=_SHORT,
            num_attacked=10,
            steps=2,
            all_data=False),
    (search, "run"):
        dict(
            recipe=_SHORT,
            num_candidates=2,
            num_truth_samples=40,
            truth_epochs=1,
            num_resamples=20,
            topk=(2,))
}


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", [page for page in PAGES if own_blocks(page)],
    ids=lambda path: path.stem)
def test_code_of_the_page_runs(page, names):
  more = GIVEN.get(page.stem)
  names.update(more and more(names) or {})
  for i, code in enumerate(own_blocks(page)):
    needed = [EXTRAS[name] for name in EXTRAS if name in code]
    if not all(map(find_spec, needed)):
      continue  # `make docs` installs the one, `make test-all` both
    exec(compile(code, f"{page.name}, block {i}", "exec"), names)
