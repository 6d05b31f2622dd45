"""A set with differential privacy: distilled from noised class means.

Distribution matching (objectives/dm.py) reads data only through means of random
features. Here these means are released once, with Gaussian noise, and the set
is distilled from the release, which costs no further privacy. Harder,
Adamczewski & Park, "DP-MERF: Differentially Private Mean Embeddings with Random
Features", 2021, arXiv 2002.11603, train a generator on such means.

    g(x)  = concat_t P_t (f_t(x) - f_t(0)),  u(x) = g(x) / |g(x)|
    s_c   = sum_{i in c} u(x_i) + N(0, sigma^2 I)
    n_c   = |c| + N(0, sigma^2 / w^2)
    S     = argmin sum_c | s_c / n_c - mean_{j in c} u(S_j) |^2

f_t are networks with random weights and P_t random projections, both drawn
without a look at the data. One sample adds a vector of length 1 and the number
w to one class, so the release is one Gaussian mechanism with the sensitivity
sqrt(1 + w^2) where one sample is added or removed. As all vectors have the
length 1, no clipping norm must be chosen; counts are noised too, so that
nothing about a sample is public. sigma is computed by Google's dp-accounting
(the extra `privacy`).

What the guarantee leaves out: names of classes and constants of preprocessing
count as public, so take published constants, not those fitted to the data; the
key must stay secret, as whoever knows it can subtract the noise; and noise is
drawn in floating point.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from distill_jax import models, nn
from distill_jax.applications.accounting import NEIGHBOURS, noise_scale
from distill_jax.applications.settings import check_counts, check_positive
from distill_jax.applications.small_sets import Maker, of_samples
from distill_jax.artifact import Artifact
from distill_jax.data.source import Split
from distill_jax.devices import jitted
from distill_jax.initialisation import noise, start_classes
from distill_jax.objectives.embedding import embeddings
from distill_jax.parallel import map_rows
from distill_jax.preprocessing import Standardise
from distill_jax.types import Array, Network


def maker(
    epsilon: float,
    delta: float = 1e-5,
    *,
    num_networks: int = 2,
    num_features: int = 128,
    count_weight: float = 0.25,
    num_steps: int = 300,
    step_size: float = 0.05) -> Maker:
  """A maker of sets with (epsilon, delta)-differential privacy.

  Args:
    epsilon: positive; of one sample added to or removed from the train split.
    delta: in (0, 1), well below 1 over the number of samples.
    num_networks: T.
    num_features: dimensions that each network's features are projected to; more
      of them describe classes better, and carry more noise in all.
    count_weight: w; a larger one makes counts more accurate and means less.
    num_steps: of Adam; they read the release and no samples.
    step_size: of Adam, in model space.

  Returns:
    A `Maker`; `artifact.provenance["privacy"]` of its sets says what holds.

  Raises:
    ConfigError: dp-accounting is not installed, or a number out of its range.

  Example:
    made = noised_means.maker(8.0).make(key, source, 100, None)
  """
  settings = dict(
      epsilon=epsilon,
      delta=delta,
      num_networks=num_networks,
      num_features=num_features,
      count_weight=count_weight,
      num_steps=num_steps,
      step_size=step_size)
  check_counts(
      num_networks=num_networks, num_features=num_features, num_steps=num_steps)
  check_positive(count_weight=count_weight, step_size=step_size)
  sensitivity = math.hypot(1.0, count_weight)
  scale = noise_scale(epsilon, delta, sensitivity)
  guarantee = dict(
      epsilon=epsilon,
      delta=delta,
      neighbours=NEIGHBOURS,
      mechanism="Gaussian, once",
      sensitivity=sensitivity,
      noise_scale=scale,
      public="names of classes, constants of preprocessing, shape of a sample")

  def make(key, source, num_rows: int, network=None) -> Artifact:
    k_public, k_noise, k_start = jax.random.split(key, 3)
    network = _network(source, network)
    public = _public(
        k_public,
        source.example,
        network=network,
        num_networks=num_networks,
        num_features=num_features)
    sums, counts = release(
        k_noise, source.train, public, scale, count_weight, network=network)
    targets = sums / jnp.maximum(counts, 1.0)[:, None]
    classes = start_classes(num_rows, 1, source.num_classes)
    start = noise(k_start, num_rows, source.example.shape[1:])
    inputs = _match(
        start,
        jnp.asarray(classes),
        targets,
        public,
        _range(source),
        step_size,
        network=network,
        num_steps=num_steps)
    return of_samples(
        source,
        inputs,
        classes,
        method="noised_means",
        provenance=dict(settings=settings, privacy=guarantee))

  spec = dict(name="noised_means", **settings)
  return Maker(f"noised_means_eps{epsilon:g}", make, spec)


def _network(source, given) -> Network:
  """Embeds samples; by default the network that suits the data."""
  given = nn.as_network(given) or models.default(source)
  if isinstance(given, Network):
    return given
  return models.from_spec(given, source.num_classes)


@partial(jitted, static_argnames=("network", "num_networks", "num_features"))
def _public(key, example, *, network, num_networks, num_features):
  """Random networks and projections: `(variables, origin, projection)`."""

  def one(key):
    k_init, k_project = jax.random.split(key)
    variables = network.init(k_init, example)
    origin = embeddings(network, variables, example)[0]
    shape = (len(origin), num_features)
    return variables, origin, jax.random.normal(k_project, shape, origin.dtype)

  return jax.lax.map(one, jax.random.split(key, num_networks))


def features(public: Any, inputs: Array, *, network: Network) -> Array:
  """u [B, T F] of inputs [B, ...] in model space, of length 1."""

  def one(public):
    variables, origin, projection = public
    seen = embeddings(network, variables, inputs) - origin
    return jnp.matmul(seen, projection, precision=jax.lax.Precision.HIGHEST)

  found = jnp.moveaxis(jax.lax.map(one, public), 0, 1)
  found = found.reshape(len(inputs), -1)
  length = jnp.sqrt(jnp.square(found).sum(1, keepdims=True) + 1e-12)
  return found / length


@partial(jitted, static_argnames="network")
def release(
    key: Array, split: Split, public: Any, scale: Array | float,
    count_weight: Array | float, *, network: Network) -> tuple[Array, Array]:
  """Noised sums [K, T F] of the features of each class, and counts [K].

  The only place where samples are read.

  Args:
    key: of the noise; consumed.
    split: samples.
    public: random networks, drawn without the samples.
    scale: standard deviation of the noise.
    count_weight: what a sample adds to the count.
    network: of `public`.
  """
  k_sums, k_counts = jax.random.split(key)
  rows = map_rows(
      lambda raw: features(public, split.encode(raw), network=network),
      split.inputs)
  member = jax.nn.one_hot(
      split.labels, split.num_classes, dtype=rows.dtype, axis=0)
  sums = jnp.matmul(member, rows, precision=jax.lax.Precision.HIGHEST)
  weighted = count_weight * member.sum(1)
  sums += scale * jax.random.normal(k_sums, sums.shape, rows.dtype)
  weighted += scale * jax.random.normal(k_counts, weighted.shape, rows.dtype)
  return sums, weighted / count_weight


def _range(source):
  """Black and white in model space, between which images stay."""
  record = source.preprocessing
  if len(source.example.shape) != 4 or not isinstance(record, Standardise):
    return -jnp.inf, jnp.inf
  return tuple((value - record.mean) / record.std for value in (0.0, 1.0))


@partial(jitted, static_argnames=("network", "num_steps"))
def _match(
    start, classes, targets, public, limits, step_size, *, network, num_steps):
  """Samples whose class means are near the released ones."""
  member = jax.nn.one_hot(classes, len(targets), dtype=start.dtype, axis=0)
  held = member.sum(1, keepdims=True)

  def loss(inputs):
    means = member @ features(public, inputs, network=network)
    return jnp.square(
        jnp.where(held > 0, means / jnp.maximum(held, 1.0) - targets,
                  0.0)).sum()

  optimizer = optax.adam(optax.cosine_decay_schedule(step_size, num_steps))

  def step(carry, _):
    inputs, state = carry
    updates, state = optimizer.update(jax.grad(loss)(inputs), state)
    moved: Any = optax.apply_updates(inputs, updates)
    inputs = jnp.clip(moved, *limits)
    return (inputs, state), None

  start = jnp.clip(start, *limits)
  (inputs, _), _ = jax.lax.scan(
      step, (start, optimizer.init(start)), length=num_steps)
  return inputs
