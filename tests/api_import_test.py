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
    "PIL",
    "matplotlib",
    "neural_tangents",
    "orbax",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
)
ALL = """
import importlib, pkgutil, distill_jax
for module in pkgutil.walk_packages(distill_jax.__path__, "distill_jax."):
  importlib.import_module(module.name)
"""
# What the modules of a room, named by its path, must not import.
ARROWS = {
    "types.py": ("distill_jax",),
    "errors.py": ("distill_jax",),
    "nn": ("objectives", "estimators", "outer_loop", "data", "evaluation"),
    "parameterization": ("objectives", "estimators", "outer_loop", "data"),
    "kernels": ("objectives", "estimators", "outer_loop", "data"),
    "augmentation.py": ("objectives", "estimators", "outer_loop", "data"),
    "objectives": (
        "outer_loop",
        "artifact",
        "checkpoint",
        "figures",
        "evaluation",
    ),
    "estimators": ("outer_loop", "artifact", "checkpoint", "figures"),
}


def _imported(statements):
  code = f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
  run = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert run.returncode == 0, run.stderr
  return {name.partition(".")[0] for name in json.loads(run.stdout)}


def _imports(file):
  """Dotted names that a file imports, wherever it does."""
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ImportTest(parameterized.TestCase):
  @parameterized.named_parameters(
      ("package", "import distill_jax"), ("every_module", ALL)
  )
  def test_is_light(self, statements):
    imported = _imported(statements)
    assert "distill_jax" in imported
    assert not imported & set(HEAVY)

  def test_notices_a_heavy_import(self):
    assert "sklearn" in _imported("import distill_jax, sklearn")

  @parameterized.parameters(*ARROWS)
  def test_arrows_point_down(self, room):
    path = ROOT / room
    for file in [path] if path.is_file() else path.rglob("*.py"):
      for name in _imports(file):
        for above in ARROWS[room]:
          banned = "distill_jax" if above == "distill_jax" else (
              f"distill_jax.{above}"
          )
          assert not f"{name}.".startswith(f"{banned}."), (file, name)

  def test_flags_stay_in_experiments(self):
    for file in ROOT.rglob("*.py"):
      assert not any(n.startswith("absl.flags") or n == "absl.flags"
                     for n in _imports(file)), file
