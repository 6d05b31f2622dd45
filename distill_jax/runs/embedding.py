"""Shows distilled sets among real data, in features of a trained network."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from distill_jax import environment, figures, models, preprocessing
from distill_jax.artifact import Artifact
from distill_jax.errors import ConfigError, DataError, fitting, plain
from distill_jax.evaluation import metrics
from distill_jax.figures.captions import classes_of_rows
from distill_jax.objectives import ncfm
from distill_jax.runs.console import say
from distill_jax.text.embedding import is_of_words

_ROWS = 50  # samples that the network processes at once


class Embedding(NamedTuple):
  """A t-SNE figure of sets among real data, and distances.

  Attributes:
    figure: real samples and each set in one plane, by t-SNE.
    document: JSON values: `distance_to_nearest` by set, `num_real`, `network`,
      `num_epochs`, `seed` and `device`.
  """

  figure: Any
  document: dict[str, Any]


def embed(
    sets: Mapping[str, Artifact],
    source,
    *,
    num_real: int = 1_000,
    num_epochs: int = 2,
    seed: int = 0) -> Embedding:
  """Draws sets among real test samples, and measures how near they are.

  Points are features of the first set's network after some epochs of training
  on the real data. If that set has a kernel or names no network, the default
  network for the shape of the data is used. The distance is that of a real
  sample to the nearest distilled sample of its class, averaged over the drawn
  real samples.

  Args:
    sets: sets by name, of the same classes and shape. Samples with another
      preprocessing are converted to that of the first set.
    source: real data with a test part, see `source_of`.
    num_real: number of test samples drawn.
    num_epochs: number of epochs that the network is trained.
    seed: seed of the network, the samples and t-SNE.

  Raises:
    ConfigError: the sets differ in classes, shape or word vectors.
    DataError: there is no test part, or its classes are not those of the sets.
  """
  first = next(iter(sets.values()))
  for name, made in sets.items():
    _check_alike(name, made, first)
  if source.test is None:
    raise DataError(f"`source` must have a test part; {source.name} has none.")
  source = source.in_classes(first.class_names)
  k_train, k_rows = jax.random.split(jax.random.key(seed))
  network = _network(first, source)
  features = _features(k_train, network, source, num_epochs)
  rows = np.asarray(jax.random.permutation(k_rows,
                                           source.test.num_samples))[:num_real]
  real = figures.Points(
      features(source.test.encode(source.test.inputs[rows])),
      np.asarray(source.test.labels)[rows])
  distances, panels = {}, {}
  for name, made in sets.items():
    points = figures.Points(
        features(_placed(made, first)),
        classes_of_rows(made.labels, made.label_space),
        made.provenance.get("segment_of_sample"))
    distances[name] = metrics.distance_to_nearest(
        real.features, real.classes, points.features, points.classes)
    panels[
        f"{name}, {figures.set_size(made)}\nmean distance from a real sample "
        "to the nearest distilled one of its class: "
        f"{distances[name]:.2f}"] = points
  say("arranging the points")
  figure = figures.t_sne(
      real,
      panels,
      figures.class_names(source.name, source.class_names),
      seed=seed,
      title=f"{figures.data_name(source.name)}: {len(rows):,} real test "
      "samples and distilled sets, features of "
      f"{figures.network_name(network['name'])}")
  return Embedding(
      figure,
      dict(
          distance_to_nearest=distances,
          num_real=len(rows),
          network=network,
          num_epochs=num_epochs,
          seed=seed,
          device=environment.device()))


def _check_alike(name: str, made: Artifact, first: Artifact) -> None:
  """Refuses a set whose samples cannot be compared with those of the first."""
  of_words = is_of_words(made.preprocessing) or is_of_words(first.preprocessing)
  if (made.class_names != first.class_names or
      made.inputs.shape[1:] != first.inputs.shape[1:] or of_words and
      not preprocessing.alike(made.preprocessing, first.preprocessing)):
    raise ConfigError(
        "`sets` must be of the same classes, shape and word vectors; "
        f"{plain(name)} has {fitting(made.class_names, 60)} and "
        f"{made.inputs.shape[1:]}, the first one "
        f"{fitting(first.class_names, 60)} and {first.inputs.shape[1:]}.")


def _placed(made: Artifact, first: Artifact):
  """The samples of a set in the model space of the first set."""
  if preprocessing.alike(made.preprocessing, first.preprocessing):
    return made.inputs
  return first.preprocessing.apply(made.preprocessing.invert(made.inputs))


def _network(artifact: Artifact, source) -> dict[str, Any]:
  """The specification of a network that has features."""
  named = "name" in artifact.network and models.is_network(artifact.network)
  return dict(artifact.network) if named else models.default(source)


def _features(key, spec, source, num_epochs: int):
  """The features of samples, by a network that is trained on the real data."""
  network = models.from_spec(spec, source.num_classes)
  say(
      f"training {spec['name']} on {source.train.num_samples:,} "
      "real samples")
  train = jax.jit(
      lambda key, split: ncfm.train_member(
          key, network, split, num_epochs=num_epochs).end)
  variables = train(key, source.train)

  @jax.jit
  def features(inputs):
    return lax.map(
        lambda x: network.stages(variables, x[None])[0][-1].ravel(),
        inputs,
        batch_size=_ROWS)

  return lambda inputs: np.asarray(features(jnp.asarray(inputs)))
