"""Pages from elsewhere in the repository, and links that leave `docs/`.

On the site as in the repository every relative link leads somewhere: to a page
of the site where the file is one, else to the file in the repository.
"""

import json
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NOTEBOOKS = [path.name for path in (ROOT / "notebooks").glob("*.ipynb")]
# File of the repository -> page of the site, where the file exists.
PAGES = {
    "CHANGELOG.md": "docs/project/changes.md",
    "CONTRIBUTING.md": "docs/project/contributing.md",
    "SECURITY.md": "docs/project/security.md",
    "benchmarks/README.md": "docs/benchmarks.md",
    **{
        f"notebooks/{name}": f"docs/notebooks/{name}" for name in _NOTEBOOKS
    }
}
_LINK = re.compile(r"(\]\(|<img src=\")([^()\s\"]+)(?=[)\"])")
_CODE = re.compile(r"(^```.*?^```|^~~~.*?^~~~)", re.M | re.S)


def with_links(text: str, file: str, page: str, url: str) -> str:
  """Markdown of a file of the repository, as a page of the site.

  Args:
    text: the Markdown.
    file: its place in the repository, such as `benchmarks/README.md`.
    page: the place of the page, `docs/benchmarks.md`.
    url: of the repository.
  """

  def moved(match):
    opening, target = match.groups()
    path, mark, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
      return match[0]
    found = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
    there = PAGES.get(found, found)
    if not there.startswith("docs/") or there.startswith("docs/results/"):
      kind = "tree" if (ROOT / there).is_dir() else "blob"
      return f"{opening}{url}/{kind}/main/{found}{mark}{anchor}"
    there = posixpath.relpath(there, posixpath.dirname(page))
    return f"{opening}{there}{mark}{anchor}"

  parts = _CODE.split(text)
  return "".join(
      part if i % 2 else _LINK.sub(moved, part) for i, part in enumerate(parts))


def _bring(app):
  """Copies of pages and notebooks below docs/, which git does not see."""
  url = app.config.repository_url
  for file, page in PAGES.items():
    source, target = ROOT / file, ROOT / page
    if not source.exists():
      continue
    text = source.read_text(encoding="utf-8")
    if file.endswith(".ipynb"):
      notebook = json.loads(text)
      for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
          whole = with_links("".join(cell["source"]), file, page, url)
          if i:  # a page has one title
            whole = re.sub(r"^# ", "## ", whole, flags=re.M)
          cell["source"] = whole.splitlines(keepends=True)
      text = json.dumps(notebook, ensure_ascii=False, indent=1)
    else:
      text = with_links(text, file, page, url)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
      target.write_text(text, encoding="utf-8")


def _read(app, docname, content):
  page = f"docs/{docname}.md"
  written_here = (ROOT / page).exists() and page not in PAGES.values()
  if written_here or docname == "index":
    content[0] = with_links(content[0], page, page, app.config.repository_url)


def setup(app):
  app.add_config_value("repository_url", "", "env", str)
  app.connect("builder-inited", _bring)
  app.connect("source-read", _read)
  return {"parallel_read_safe": True}
