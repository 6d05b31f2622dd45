"""The examples of README and docs run, word for word."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
PAGES = [README] + [
    DOCS / f"{name}.md" for name in (
        "applications", "own_data", "own_networks", "condense", "trajectories",
        "kernels", "text", "parameterizations", "use_elsewhere")
]
# Packages that a page shows and the library does not need.
NEEDS = {"use_elsewhere": ("datasets", "imblearn", "keras")}


class Frame:
  """As much of a pandas or polars data frame as pages use."""

  def __init__(self, columns):
    self.columns = list(columns)
    self._columns = columns

  def __getitem__(self, name):
    if isinstance(name, list):
      return Frame({column: self._columns[column] for column in name})
    return self._columns[name]

  def to_numpy(self):
    return np.stack(list(self._columns.values()), 1)


@pytest.fixture
def frame():
  generator = np.random.default_rng(0)
  return Frame({
      "age": generator.integers(18, 90, 60),
      "height": generator.normal(size=60),
      "kind": np.array(["cat", "dog", "fox"] * 20)
  })


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_library_example(page, frame):
  for package in NEEDS.get(page.stem, ()):
    pytest.importorskip(package)
  text = page.read_text()
  found = re.findall(r"<!-- doctest -->\n```python\n(.*?)```", text, re.S)
  test = doctest.DocTestParser().get_doctest(
      "".join(found), {"frame": frame}, page.stem, str(page), 0)
  assert len(test.examples) > 5
  outcome = doctest.DocTestRunner().run(test)
  assert not outcome.failed


@pytest.mark.parametrize(
    "page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda p: p.stem)
def test_linked_files_exist(page):
  for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
    if not target.startswith("http"):
      assert (page.parent / target).exists(), target
