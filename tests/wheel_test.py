"""What is installed: the wheel's files, its data about itself, its command."""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import building
import matrix
import pytest

import distill_jax as dd

SETUP = building.ROOT / "setup.cfg"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
  """Built by what is installed here."""
  home = tmp_path_factory.mktemp("sdist")
  return building.sdist(building.copied(home / "project"), home)


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
  """A folder with the wheel of the sdist, without what that requires."""
  home = tmp_path_factory.mktemp("wheel")
  project = building.unpacked(sdist, home / "unpacked")
  made = building.wheel(project, home, "--no-build-isolation")
  building.run(
      sys.executable,
      "-m",
      "pip",
      "install",
      "--quiet",
      "--no-deps",
      "--disable-pip-version-check",
      f"--target={home / 'target'}",
      made,
      cwd=home)
  return home / "target"


def _environment(target: Path) -> dict[str, str]:
  return {**os.environ, "PYTHONPATH": str(target)}


def _call(target, folder, *arguments) -> str:
  """`distill-jax ARGUMENTS`, as it was installed, in a folder."""
  return building.run(
      sys.executable,
      target / "bin" / "distill-jax",
      *arguments,
      cwd=folder,
      env=_environment(target)).stdout


def test_the_command_works_in_an_empty_folder(installed, tmp_path):
  code = "import distill_jax; print(distill_jax.__file__)"
  done = subprocess.run([sys.executable, "-c", code],
                        cwd=tmp_path,
                        env=_environment(installed),
                        capture_output=True,
                        text=True)
  assert Path(done.stdout.strip()).is_relative_to(installed)
  assert dd.__version__ in _call(installed, tmp_path, "--version")
  (tmp_path / "table.csv").write_text(
      "a,label\n" + "".join(f"{i},{'xy'[i % 2]}\n" for i in range(40)))
  _call(
      installed, tmp_path, "distill", "table.csv", "--method=dm",
      "--set=num_steps=2", "--network=mlp:widths=[4]", "--per-class=1",
      "--num-networks=1", "--baselines=")
  record = json.loads((tmp_path / "runs/table_dm_1/config.json").read_text())
  assert record["command"].startswith("distill-jax distill table.csv ")
  assert dd.load(tmp_path / "runs/table_dm_1/distilled.safetensors")


def test_the_wheel_holds_the_package_alone(installed):
  ours = {
      str(path.relative_to(installed))
      for path in installed.rglob("*")
      if path.is_file() and "dist-info" not in str(path) and
      "__pycache__" not in str(path)
  }
  wanted = {n for n in building.tracked() if n.startswith("distill_jax/")}
  assert ours == wanted | {"bin/distill-jax"}


def test_the_wheel_says_where_it_comes_from(installed):
  told = next(installed.glob("*.dist-info")) / "METADATA"
  text = told.read_text()
  known = configparser.ConfigParser()
  known.read(SETUP)
  url = known["metadata"]["url"]
  assert f"Version: {dd.__version__}" in text
  for name in "Documentation", "Source", "Changelog":
    assert f"Project-URL: {name}, {url}" in text
  assert SETUP.read_text().count(url) == 1
  assert "Description-Content-Type: text/markdown" in text


def test_the_sdist_holds_every_tracked_file(sdist):
  added = {"PKG-INFO"}
  found = {n for n in building.contents(sdist) if ".egg-info" not in n}
  assert found - added == {*building.tracked()}
  for folder in "tests", "docs", "experiments":
    assert any(name.startswith(f"{folder}/") for name in found)


def test_lower_bounds_are_constraints(tmp_path):
  found = matrix.lowest()
  assert any(line.startswith("jax==") for line in found)
  assert any(line.startswith("pytest==") for line in found)
  assert not any("<" in line or ">" in line for line in found)
  file = tmp_path / "setup.cfg"
  text = (
      "[options]\ninstall_requires =\n  jax>=0.7,<1\n"
      "[options.extras_require]\ndata =\n  grain>=2\n"
      "test =\n  %(data)s\n  pytest>=8\n  yapf==0.43.0\n")
  file.write_text(text)
  assert matrix.lowest(file) == [
      "grain==2", "jax==0.7", "pytest==8", "yapf==0.43.0"
  ]
  file.write_text(text + "  flake\n")
  with pytest.raises(ValueError, match="a lower bound .* got 'flake'"):
    matrix.lowest(file)
