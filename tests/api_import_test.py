"""What `import distill_jax` may import, and which way its arrows point."""

import ast
import json
import pathlib
import subprocess
import sys

from absl.testing import parameterized

import distill_jax

ROOT = pathlib.Path(distill_jax.__file__).parent
HEAVY = (
    "PIL", "datasets", "imblearn", "jinja2", "keras", "matplotlib",
    "neural_tangents", "orbax", "pandas", "sklearn", "tensorflow",
    "tensorflow_datasets", "torch")
ALL = """
import importlib, pkgutil, distill_jax
from distill_jax import *
for module in pkgutil.walk_packages(distill_jax.__path__, "distill_jax."):
  importlib.import_module(module.name)
"""
# Rooms from bottom to top; each imports only from those before it.
ROOMS = """
_version types constants kinds errors devices environment compilation choices
keys storage records processes unpacking specification augmentation mixing
distances labels flatness neighbours clipping parallel nn kernels
parameterization text preprocessing data models inner_loop views realism
objectives estimators tracking outer_loop selection initialisation packing
schema artifact quantising exchange checkpoint moments probe_set frozen_features
merging evaluation examples trajectories segments figures pages methods
condenser runs applications public commands
""".split()
# Tables by name: rows of the results, and recipes, named after their papers.
TABLES = ("experiments/rows*.py", "distill_jax/evaluation/recipes.py")


def _imported(statements):
  code = f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
  run = subprocess.run([sys.executable, "-c", code],
                       capture_output=True,
                       text=True)
  assert run.returncode == 0, run.stderr
  return {name.partition(".")[0] for name in json.loads(run.stdout)}


def _imports(file):
  """Dotted names that a file imports, wherever it does."""
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(file):
  return file.relative_to(ROOT).parts[0].removesuffix(".py")


def _from_above(file, room):
  """Rooms that a file of this room imports from and must not."""
  names = [f"{name}.".split(".") for name in _imports(file)]
  rooms = {name[1] for name in names if name[0] == "distill_jax"}
  return rooms - {*ROOMS[:ROOMS.index(room) + 1]}


def _branches(code):
  """Texts that code compares something with, or looks it up by."""
  texts = set()
  for node in ast.walk(ast.parse(code)):
    if isinstance(node, ast.Compare | ast.MatchValue):
      parts = [node]
    else:
      parts = filter(None, node.keys) if isinstance(node, ast.Dict) else ()
    for part in parts:
      texts |= {n.value for n in ast.walk(part) if isinstance(n, ast.Constant)}
  return texts


class ImportTest(parameterized.TestCase):

  def test_is_light(self):
    imported = _imported(ALL)
    assert "distill_jax" in imported
    assert not imported & set(HEAVY)

  def test_notices_a_heavy_import(self):
    assert _imported("import PIL.Image") & {*HEAVY} == {"PIL"}

  def test_arrows_point_down(self):
    files = {file: _room(file) for file in ROOT.rglob("*.py")}
    assert {*files.values()} == {*ROOMS, "__init__"}
    for file, room in files.items():
      if room != "__init__":
        wrong = _from_above(file, room)
        assert not wrong, (file, wrong)

  def test_notices_an_arrow_upwards(self):
    objective = ROOT / "objectives" / "dd.py"
    assert not _from_above(objective, "objectives")
    assert "inner_loop" in _from_above(objective, "labels")

  def test_names_of_methods_stay_in_methods(self):
    home = ROOT.parent
    files = {*ROOT.rglob("*.py"), *home.glob("experiments/*.py")}
    for pattern in ("distill_jax/methods/*", *TABLES):
      files -= {*home.glob(pattern)}
    for file in files:
      named = _branches(file.read_text()) & {*distill_jax.methods.ENTRIES}
      assert not named, (file, named)

  @parameterized.parameters(
      "m == 'dm'", "m in ('dm', 'mtt')", "{'dm': f, 'mtt': g}[m]()",
      "match m:\n  case 'dm' | 'mtt': f()")
  def test_notices_a_branch(self, code):
    assert "dm" in _branches(code)

  def test_flags_stay_in_experiments(self):
    for file in ROOT.rglob("*.py"):
      assert not any(
          n.startswith("absl.flags") or n == "absl.flags"
          for n in _imports(file)), file
