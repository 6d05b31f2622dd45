"""The figure of an application, from the document that it left."""

from collections.abc import Mapping
from typing import Any

from distill_jax.applications import (
    continual_report,
    federated_report,
    privacy_report,
    robustness_figure,
    search_report,
)
from distill_jax.choices import one_of

_DRAW = {
    "continual": continual_report.draw,
    "federated": federated_report.draw,
    "privacy": privacy_report.figure,
    "robustness": robustness_figure.draw,
    "search": search_report.draw
}


def figure_of(document: Mapping[str, Any]):
  """The same figure as `Findings.figure`, from a `report.json`.

  Args:
    document: as it was read.

  Returns:
    A matplotlib `Figure`.

  Raises:
    ConfigError: no such application.
  """
  one_of(_DRAW, "application", document.get("application"))
  return _DRAW[document["application"]](document)
