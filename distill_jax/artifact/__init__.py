"""A distilled set that carries its own use: made, saved and loaded.

An `Artifact` holds the decoded samples, their labels, step sizes and order,
theta_0 where the initialisation is fixed, the preprocessing with its inverse,
the class names and the recipe to train by. In memory and from a file it is the
same record, so evaluation has one path.
"""

from distill_jax.artifact.completion import with_view_labels
from distill_jax.artifact.file import load, save
from distill_jax.artifact.making import from_samples, to_artifact
from distill_jax.artifact.record import Artifact, float_codes, inverted

__all__ = [
    "Artifact", "float_codes", "from_samples", "inverted", "load", "save",
    "to_artifact", "with_view_labels"
]
