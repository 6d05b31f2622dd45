"""For contributors: workflows call `make`, forms are valid, versions agree."""

import configparser
import re

import pytest
import yaml
from documented import ROOT, targets

from distill_jax import _version

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = [
    file for file in sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))
    if file.stem != "config"
]
MAKE = re.compile(r"\bmake ((?:[a-z-]+ ?)+)")
# Of an issue form, and whether it asks for something.
KINDS = {
    "markdown": False,
    "input": True,
    "textarea": True,
    "dropdown": True,
    "checkboxes": True
}


def steps(workflow: dict):
  """What the jobs of a workflow run, each cell of a matrix apart."""
  for job in workflow["jobs"].values():
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
      runs = [step["run"]] if "run" in step else []
      for name, values in matrix.items():
        runs = [
            run.replace(f"${{{{ matrix.{name} }}}}", value)
            for run in runs
            for value in values
        ]
      yield from dict.fromkeys(runs)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda p: p.stem)
def test_workflows_call_make(file):
  workflow = yaml.safe_load(file.read_text())
  assert workflow["permissions"] == {"contents": "read"}
  known, commands = targets((ROOT / "Makefile").read_text()), [*steps(workflow)]
  assert commands
  for command in commands:
    match = MAKE.fullmatch(command)
    if match:
      assert {*match[1].split()} <= known, command
    else:  # a tag that is not the version
      assert file.stem == "release" and "_version.py" in command


def test_steps_of_a_matrix_stand_apart():
  job = {
      "strategy": {
          "matrix": {
              "t": ["a", "b"]
          }
      },
      "steps": [{
          "uses": "x"
      }, {
          "run": "make ${{ matrix.t }}"
      }]
  }
  assert [*steps({"jobs": {"j": job}})] == ["make a", "make b"]


def test_python_versions_are_those_that_are_announced():
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  announced = re.findall(
      r":: (\d\.\d+)$", setup["metadata"]["classifiers"], re.M)
  tested = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text())
  matrix = tested["jobs"]["test"]["strategy"]["matrix"]
  assert announced and matrix["python-version"] == announced
  assert setup["options"]["python_requires"] == f">={announced[0]}"


@pytest.mark.parametrize("file", FORMS, ids=lambda p: p.stem)
def test_issue_forms(file):
  form = yaml.safe_load(file.read_text())
  assert {"name", "description", "body"
         } <= {*form} <= {"name", "description", "body", "labels"}
  asked = [element for element in form["body"] if KINDS[element["type"]]]
  ids = [element["id"] for element in asked]
  assert ids and len(ids) == len({*ids})
  assert all(element["attributes"]["label"] for element in asked)
  for element in asked:
    options = element["attributes"].get("options")
    assert bool(options) == (element["type"] in ("dropdown", "checkboxes"))
  for page in re.findall(r"(?:docs/\w+|[A-Z]+)\.md", file.read_text()):
    assert (ROOT / page).exists(), page


def test_a_question_leads_to_the_documents():
  config = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE/config.yml").read_text())
  assert config == {"blank_issues_enabled": False}
  assert (GITHUB / "ISSUE_TEMPLATE" /
          "question.yml").read_text().count("../blob/main/docs/") > 3


def test_versions_agree():
  version = _version.__version__
  changelog = (ROOT / "CHANGELOG.md").read_text()
  titles = re.findall(r"^## (.*)$", changelog, re.M)
  cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
  assert cited["version"] == version
  date = cited.get("date-released")
  coming = f"{version} ({date})" if date else f"Unreleased: {version}"
  assert titles[0] == coming
  dates = [re.fullmatch(r"\d\S* \(([\d-]+)\)", t)[1] for t in titles[1:]]
  assert dates == sorted(dates, reverse=True)
