"""Pages of the API reference, a room of the package each.

A page lists every public function and class that its modules define, so that
nothing public can be forgotten. A name that a package re-exports is described
under the shorter one.
"""

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

from docstrings import to_rst

FOLDER = Path(__file__).resolve().parents[1] / "api"
# A page each; the rest of the package is on the page `others`.
ROOMS = (
    "methods", "objectives", "parameterization", "nn", "data", "evaluation",
    "runs", "applications", "kernels", "estimators", "trajectories", "artifact",
    "text", "figures")
LEFT_OUT = ("commands",)  # their texts are of `--help`: see command_line.md


def _heading(text, mark):
  return [text, mark * len(text), ""]


def _public(module):
  """Names of what a module offers: what it lists, or defines."""
  if hasattr(module, "__all__"):
    return list(module.__all__)
  return [
      name for name, thing in vars(module).items()
      if not name.startswith("_") and getattr(thing, "__module__", None) ==
      module.__name__ and (inspect.isclass(thing) or callable(thing))
  ]


def _entry(module, name):
  thing = getattr(module, name)
  if inspect.isclass(thing):
    return [
        f".. autoclass:: {module.__name__}.{name}", "   :members:",
        "   :show-inheritance:" * issubclass(thing, Exception), ""
    ]
  kind = "function" if callable(thing) else "data"
  return [
      f".. auto{kind}:: {module.__name__}.{name}",
      "   :no-value:" * (kind == "data"), ""
  ]


def _described(module):
  """What a module says of itself."""
  parent, _, name = module.__name__.rpartition(".")
  if getattr(sys.modules[parent], name) is module:
    return [f".. automodule:: {module.__name__}", "   :no-members:", ""]
  # Hidden by the function of the same name that its package exports.
  return [*to_rst(inspect.getdoc(module).splitlines()), ""]


def _modules(package):
  """A package and everything below it."""
  yield package
  for found in pkgutil.walk_packages(getattr(package, "__path__", ()),
                                     f"{package.__name__}."):
    if not found.name.rpartition(".")[2].startswith("_"):
      yield importlib.import_module(found.name)


def pages() -> dict[str, str]:
  """The pages by name, as reStructuredText."""
  top = importlib.import_module("distill_jax")
  seen: set[int] = set()
  lines = [
      *_heading("distill_jax", "="),
      "What ``import distill_jax as dd`` offers. Axis letters of shapes are "
      "listed in :py:mod:`distill_jax.types`.", "",
      "``dd.methods.NAME(...)`` makes a method: see :doc:`methods`.", ""
  ]
  for name in sorted(top.__all__, key=str.lower):
    thing = getattr(top, name)
    if name.startswith("__") or inspect.ismodule(thing):
      continue
    seen.add(id(thing))
    lines += _entry(top, name)
  made = {"distill_jax": "\n".join(lines)}
  alone = []
  for found in pkgutil.iter_modules(top.__path__):
    if found.name in ROOMS:
      made[found.name] = _page(
          f"distill_jax.{found.name}",
          [importlib.import_module(f"distill_jax.{found.name}")], seen)
    elif not found.name.startswith("_") and found.name not in LEFT_OUT:
      alone.append(importlib.import_module(f"distill_jax.{found.name}"))
  made["others"] = _page("Modules beside the rooms", alone, seen)
  return made


def _page(title, packages, seen):
  lines = _heading(title, "=")
  for package in packages:
    for module in _modules(package):
      # What a package re-exports is described here, not where it is defined.
      names = [n for n in _public(module) if id(getattr(module, n)) not in seen]
      names = [n for n in names if not inspect.ismodule(getattr(module, n))]
      if not names and not module.__doc__:
        continue
      seen |= {id(getattr(module, name)) for name in names}
      if module.__name__ != title:
        lines += _heading(module.__name__, "-")
      lines += _described(module)
      for name in names:
        lines += _entry(module, name)
  return "\n".join(lines)


def _write(app):
  del app
  FOLDER.mkdir(exist_ok=True)
  for name, text in pages().items():
    file = FOLDER / f"{name}.rst"
    if not file.exists() or file.read_text(encoding="utf-8") != text:
      file.write_text(text, encoding="utf-8")


def _skip(app, what, name, thing, skip, options):
  """Fields of a NamedTuple are described under `Attributes`."""
  del app, what, name, options
  text = getattr(thing, "__doc__", None) or ""
  return True if text.startswith("Alias for field number") else skip


def setup(app):
  app.connect("builder-inited", _write)
  app.connect("autodoc-skip-member", _skip)
  return {"parallel_read_safe": True}
