"""The examples of README and docs run, word for word."""

import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
PAGES = [README, DOCS / "trajectories.md", DOCS / "kernels.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_library_example(page):
  text = page.read_text()
  found = re.findall(r"<!-- doctest -->\n```python\n(.*?)```", text, re.S)
  test = doctest.DocTestParser().get_doctest(
      "".join(found), {}, page.stem, str(page), 0
  )
  assert len(test.examples) > 10
  outcome = doctest.DocTestRunner().run(test)
  assert not outcome.failed


def test_linked_files_exist():
  for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
    if not target.startswith("http"):
      assert (README.parent / target).exists(), target
