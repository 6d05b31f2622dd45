"""Quantisation of finished sets: the same set in fewer bits.

The values are quantised as by `parameterization.quantised`, but the set was
learned without quantisation. For images, 8 bits are enough. For 4 or 2 bits,
distil with that parameterization instead, so that the set is learned with
quantised values.
"""

from collections.abc import Mapping
from typing import Any

import jax

from distill_jax import packing
from distill_jax.artifact import Artifact, float_codes
from distill_jax.artifact.completion import as_quantised
from distill_jax.errors import ArtifactError, ConfigError
from distill_jax.parameterization import from_spec
from distill_jax.parameterization.quantised import PATCH, quantised


def quantise(
    artifact: Artifact,
    bits: int = 8,
    *,
    group: str = "patch",
    patch: int = PATCH,
    labels: int = 32) -> Artifact:
  """Returns the set with integers and scales in place of float codes.

  Its samples and labels are those that the integers decode to. If samples are
  decoded from codes, the codes are quantised. A set that is already quantised
  is quantised again, from its present values.

  Args:
    artifact: the set.
    bits: bits per value, 8, 4 or 2.
    group: which values share a scale and a minimum: "patch", "image", "channel"
      or "tensor"; see `parameterization.quantised`.
    patch: side of a patch in pixels, 1..256.
    labels: bits per label value, 32, 16 or 8. With 16 or 8, a hard label takes
      one byte, or two with more than 256 classes, and is exact.

  Raises:
    ConfigError: `artifact` is not a set, or a setting is unknown or out of
      range.
    ArtifactError: values are beyond the range of float16; or the set does not
      say how its codes are decoded, as with a user's own parameterization.

  Example:
    small = dd.quantise(made, bits=4)
  """
  if not isinstance(artifact, Artifact):
    raise ConfigError(
        "`artifact` must be a distilled set, as condense and load return it; "
        f"got {type(artifact).__name__}.")
  packing.check_label_bits(labels)
  stored = quantised(_inner(artifact), bits=bits, group=group, patch=patch)
  settings = packing.settings_of(stored.spec, labels)
  rows = artifact.labels[:artifact.num_rows]
  return as_quantised(artifact, settings, float_codes(artifact), rows)


def encoding_of(artifact: Artifact) -> dict[str, Any] | None:
  """The parameterization by which real samples can be stored as in the set.

  Returns:
    Its specification. None for pixels, for a set that does not say how it is
    decoded, and if codes of real samples do not decode to these samples (such
    as bases).
  """
  try:
    spec = dict(_inner(artifact))
    keeps = from_spec(spec).keeps_inputs
  except ValueError:
    return None
  if not keeps:
    return None
  if not artifact.quantiser:
    return spec
  return dict(name="quantised", inner=spec, **artifact.quantiser._asdict())


def _inner(artifact: Artifact) -> Mapping:
  """The specification of the parameterization that decodes a set's codes.

  Raises:
    ArtifactError: the set does not have it.
  """
  if artifact.quantisation:
    return artifact.quantisation["inner"]
  if not jax.tree.leaves(artifact.codes):
    return {"name": "pixels"}
  method = artifact.provenance.get("method")
  found = method.get("parameterization") if isinstance(method, dict) else None
  if isinstance(found, dict) and found.get("name") == artifact.parameterization:
    return found
  raise ArtifactError(
      "`artifact` must say how its codes are decoded; got codes of "
      f"{artifact.parameterization} without its settings. Distil with "
      '{"name": "quantised", "inner": ...}.')
