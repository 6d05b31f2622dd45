"""Builds wheel and sdist, and tries the wheel in a fresh environment.

  python tests/smoke.py --out=dist          # what `make wheel` does

All of it happens in a temporary folder outside the checkout. The sdist holds
every tracked file and leads to the same wheel; the description renders; the
wheel installs with pip, is imported within two seconds of CPU, and distils,
evaluates and reports by its command alone. What fails ends it with exit code 1.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import building

_SECONDS = 2.0  # that the first use of `import distill_jax` may take
_TRIES = 3  # of which the quickest counts
_USE = "import distill_jax; distill_jax.condense"
_PICTURES = """
import pathlib, numpy, PIL.Image
for c, kind in enumerate(("bright", "dark")):
  folder = pathlib.Path("pictures") / kind
  folder.mkdir(parents=True)
  for i in range(12):
    pixels = numpy.random.default_rng(i).integers(0, 99, (8, 8)) + 150 * (1 - c)
    PIL.Image.fromarray(pixels.astype("uint8")).save(folder / f"{i}.png")
"""
_FEW = (
    "--per-class=1", "--num-networks=1", "--baselines=random_real",
    "--set=num_steps=4", "--network=convnet:width=4,depth=1")


def main() -> None:
  flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  flags.add_argument("--out", default="dist", help="where both files go")
  out = Path(flags.parse_args().out).resolve()
  with tempfile.TemporaryDirectory() as made:
    wheel = _built(Path(made), out)
    python = _installed(Path(made), wheel)
    _imported(python, Path(made))
    _used(python, wheel, _empty(Path(made) / "use"))
  print(f"wheel and sdist work: {out}")


def _built(home: Path, out: Path) -> Path:
  """Builds both, compares them and keeps them; returns the wheel."""
  project = building.copied(_empty(home / "project"))
  made = home / "dist"
  say("building sdist, and the wheel from it")
  building.run(
      sys.executable, "-m", "build", f"--outdir={made}", project, cwd=home)
  wheel, sdist = next(made.glob("*.whl")), next(made.glob("*.tar.gz"))
  missing = {*building.tracked()} - {*building.contents(sdist)}
  check(not missing, f"the sdist lacks {sorted(missing)}")
  direct = home / "direct"
  building.run(
      sys.executable,
      "-m",
      "build",
      "--wheel",
      f"--outdir={direct}",
      project,
      cwd=home)
  other = building.contents(next(direct.glob("*.whl")))
  check(
      building.contents(wheel) == other,
      "the wheel of the sdist holds other files than that of the project")
  building.run(
      sys.executable,
      "-m",
      "twine",
      "check",
      "--strict",
      wheel,
      sdist,
      cwd=home)
  out.mkdir(parents=True, exist_ok=True)
  for file in wheel, sdist:
    shutil.copy(file, out / file.name)
    say(f"  {file.name}: {file.stat().st_size:,} bytes")
  return wheel


def _installed(home: Path, wheel: Path) -> Path:
  """Python of a fresh environment that has the wheel alone."""
  say("installing the wheel in a fresh environment")
  building.run(sys.executable, "-m", "venv", home / "venv", cwd=home)
  python = home / "venv" / "bin" / "python"
  _pip(python, home, wheel)
  return python


def _pip(python: Path, home: Path, what) -> None:
  building.run(python, "-m", "pip", "install", "--quiet", what, cwd=home)


def _imported(python: Path, home: Path) -> None:
  """The first use of the library takes two seconds of CPU at most."""
  empty = _empty(home / "import")
  where = building.run(
      python,
      "-c",
      "import distill_jax; print(distill_jax.__file__)",
      cwd=empty,
      env=_environment()).stdout.strip()
  check(Path(where).is_relative_to(home), f"imported {where}, not the wheel")
  wall, cpu = [], []
  for _ in range(_TRIES):
    began, before = time.perf_counter(), _cpu()
    building.run(python, "-c", _USE, cwd=empty, env=_environment())
    wall.append(time.perf_counter() - began)
    cpu.append(_cpu() - before)
  say(
      f"  import and first use: {min(cpu):.2f} s of CPU, at most {_SECONDS:g}; "
      f"{min(wall):.2f} s until it was done")
  check(min(cpu) <= _SECONDS, "importing takes too long")


def _cpu() -> float:
  """Seconds that finished children have computed, whoever else did so."""
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def _used(python: Path, wheel: Path, folder: Path) -> None:
  """Everything that README promises of the command."""

  def call(*arguments) -> str:
    say(f"  distill-jax {' '.join(arguments)}")
    return building.run(
        python.parent / "distill-jax",
        *arguments,
        cwd=folder,
        env=_environment()).stdout

  say("using the command in an empty folder")
  check("distill" in call("--help"), "--help says nothing")
  check("DM" in call("methods", "dm"), "methods says nothing")
  check("classes" in call("data", "digits"), "data says nothing")
  call("distill", "digits", *_FEW)
  _has(folder / "runs" / "digits_dm_1")
  # Pictures and figures are extras.
  _pip(python, folder, f"{wheel}[experiments]")
  building.run(python, "-c", _PICTURES, cwd=folder, env=_environment())
  call("distill", "pictures", "--out=mine", "--method=dm", *_FEW)
  _has(folder / "mine", "figures/samples.png")
  call("evaluate", "mine", "pictures", "--num-networks=1", "--baselines=")
  check((folder / "mine" / "evaluation.json").exists(), "nothing was evaluated")
  call("report", "mine")
  call("report", "compare", "mine", "runs/digits_dm_1")
  check((folder / "compare.html").exists(), "nothing was compared")


def _has(folder: Path, *more: str) -> None:
  for name in ("distilled.safetensors", "report.json", "config.json", *more):
    check((folder / name).exists(), f"{folder.name} lacks {name}")


def _environment() -> dict[str, str]:
  """Without what would lead to the checkout or to an accelerator."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
  return {**kept, "JAX_PLATFORMS": "cpu"}


def _empty(folder: Path) -> Path:
  folder.mkdir()
  return folder


def say(text: str) -> None:
  print(text, flush=True)


def check(holds: bool, wrong: str) -> None:
  if not holds:
    sys.exit(f"error: {wrong}")


if __name__ == "__main__":
  main()
