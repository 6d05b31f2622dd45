"""A distilled set with everything that is needed to use it.

An `Artifact` holds the decoded samples, their labels, step sizes and order,
theta_0 if the initialisation is fixed, the preprocessing with its inverse, the
class names and the training recipe. The record is the same in memory and from a
file, so both are evaluated by the same code.
"""

from distill_jax.artifact.completion import with_view_labels
from distill_jax.artifact.file import load, save
from distill_jax.artifact.making import from_samples, to_artifact
from distill_jax.artifact.record import Artifact, float_codes, inverted

__all__ = [
    "Artifact", "float_codes", "from_samples", "inverted", "load", "save",
    "to_artifact", "with_view_labels"
]
