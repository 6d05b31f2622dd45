"""Latent vectors: samples made by a generator that the user provides.

Cazenavette et al., "Generalizing Dataset Distillation via Deep Generative
Prior", 2023, arXiv 2305.01649 (GLaD), and Zhao & Bilen, "Synthesizing
Informative Training Samples with GAN", 2022, arXiv 2204.07513 (IT-GAN), learn
the latents of a frozen generator:

    X = G( z ),   z learned, G fixed

G is not part of the set. An artifact has the decoded samples, on which networks
are trained, and the latents, which only a program with G can decode. Its
`storage_bytes` counts the bytes of G, as `outside` and in the total; published
tables do not count them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from distill_jax.types import Array, Parameterization, PyTree


def latent(
    decode: Callable[..., Array],
    sample: Callable[[Array, Array], Array],
    *,
    variables: PyTree = None,
    decoder_bytes: int | None = None) -> Parameterization:
  """Stores one latent vector [...] per sample.

  JSON cannot describe a generator. To use one as the `parameterization` of a
  method, register it in every program that decodes the set:

      parameterization.FACTORIES["gan"] = specified()(gan)  # def gan(): ...

  Args:
    decode: `(latents [R, ...]) -> inputs [R, ...]` in model space; with
      `variables`, `(variables, latents) -> inputs`. Only the latents are
      differentiated.
    sample: `(key, inputs [R, ...]) -> latents [R, ...]` floats. It draws
      latents, or encodes the real or random inputs that a set starts from.
    variables: variables of the decoder, if it does not close over them.
    decoder_bytes: bytes of the decoder; by default the bytes of `variables`.

  Raises:
    ValueError: neither `variables` nor `decoder_bytes` is given; or, from
      `init`, there is not one latent or not one sample per input.

  Example:
    stored = latent(
        lambda z: z.reshape(-1, 4, 4, 1),
        lambda key, inputs: jax.random.normal(key, (len(inputs), 16)),
        decoder_bytes=0)
  """
  leaves = jax.tree.leaves(variables)
  if decoder_bytes is None and not leaves:
    raise ValueError(
        "`decoder_bytes` must be given where `variables` are not; got None. "
        "Count what the decoder closes over, or state 0.")
  if decoder_bytes is None:
    decoder_bytes = sum(leaf.nbytes for leaf in leaves)
  if not isinstance(decoder_bytes, int) or decoder_bytes < 0:
    raise ValueError(
        "`decoder_bytes` must be a whole number of at least 0; got "
        f"{decoder_bytes!r}.")

  def decoded(latents):
    return decode(variables, latents) if leaves else decode(latents)

  def init(key, inputs):
    latents = jnp.asarray(sample(key, inputs))
    real = jnp.issubdtype(latents.dtype, jnp.floating)
    if not real or latents.shape[:1] != inputs.shape[:1]:
      raise ValueError(
          f"`sample` must return {len(inputs)} latents of floats, one an input;"
          f" got {latents.dtype} {latents.shape}.")
    found = jax.eval_shape(decoded, latents)
    if getattr(found, "shape", None) != inputs.shape:
      raise ValueError(
          f"`decode` must return samples {inputs.shape}; got "
          f"{getattr(found, 'shape', type(found).__name__)}.")
    return latents

  def owner(latents):
    return jnp.arange(len(latents), dtype=jnp.int32)

  return Parameterization(init, decoded, owner, decoder_bytes=decoder_bytes)
