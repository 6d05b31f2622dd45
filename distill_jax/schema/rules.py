"""Checks all rules that a set must keep."""

import jax
import numpy as np

from distill_jax.errors import require
from distill_jax.schema import arrays, settings, sizes
from distill_jax.schema.document import decoded


def check(artifact):
  """Checks all rules of an artifact, and returns the artifact.

  Raises:
    ArtifactError: a rule is broken; the message names the field, the rule and
      the value.
  """
  settings.check(artifact)
  arrays.check(artifact)
  _check_quantised(artifact)
  sizes.check(artifact)
  settings.check_use(artifact)
  fixed = bool(jax.tree.leaves(artifact.initial))
  require((artifact.student_init == "fixed") == fixed, "student_init",
          "be fixed where theta_0 is given, else random", artifact.student_init)
  return artifact


def _check_quantised(artifact) -> None:
  """Checks that inputs and labels are what the stored integers decode to."""
  if not artifact.quantisation:
    require(
        not jax.tree.leaves(artifact.stored_labels), "stored_labels",
        "be () where nothing is quantised", "others")
    return
  require(
      artifact.parameterization == "quantised", "parameterization",
      "be quantised where `quantisation` says how", artifact.parameterization)
  for name, found in zip(("inputs", "labels"), decoded(**artifact._asdict()),
                         strict=True):
    require(
        np.array_equal(getattr(artifact, name), found), name,
        "be those that are decoded from what is stored", "others")
