"""The README's library example runs, word for word."""

import doctest
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_library_example():
  text = README.read_text()
  example = re.search(r"<!-- doctest -->\n```python\n(.*?)```", text, re.S)
  test = doctest.DocTestParser().get_doctest(
      example[1], {}, "README", str(README), 0
  )
  assert len(test.examples) > 10
  outcome = doctest.DocTestRunner().run(test)
  assert not outcome.failed


def test_linked_files_exist():
  for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
    if not target.startswith("http"):
      assert (README.parent / target).exists(), target
