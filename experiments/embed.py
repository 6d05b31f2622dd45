"""Draws real data and distilled sets in one plane, by t-SNE.

  python experiments/embed.py --data=SPEC --out=tsne.png \\
    --sets=IDC=DIR/distilled.safetensors,EDD=DIR/distilled.safetensors

The points are features of the first set's network after some epochs on the real
training data. Real samples are pale, those of a set dark, with a marker for
each segment where it was made in segments. Above each panel: how far a real
sample is from the nearest one of its class in the set, on average over test
samples, in the space of features.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import launch
import networks
import numpy as np
import workdir
from absl import flags
from driver import say

from distill_jax import artifact as artifacts
from distill_jax import data, figures
from distill_jax.errors import ConfigError, WorkdirError
from distill_jax.evaluation import metrics
from distill_jax.labels import classes_of_labels
from distill_jax.objectives import ncfm

FLAGS = flags.FLAGS
flags.DEFINE_list("sets", None, "NAME=FILE of the distilled sets.")
flags.DEFINE_string("data", None, "SPEC of the real data.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_string("out", "tsne.png", "Where the figure goes.")
flags.DEFINE_integer("num_real", 1_000, "Test samples drawn.", lower_bound=1)
flags.DEFINE_integer("num_epochs", 2, "Of the network.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the network, the samples and t-SNE.")
flags.mark_flags_as_required(["sets", "data"])


def main(argv):
  del argv
  out = Path(FLAGS.out)
  if not out.resolve().parent.is_dir():
    raise WorkdirError(
        f"`out` must be in an existing folder; got {out}. Create the folder."
    )
  sets = dict(map(_named, FLAGS.sets))
  first = next(iter(sets.values()))
  source = data.read(
      FLAGS.data, data_dir=FLAGS.data_dir, preprocessing=first.preprocessing,
      class_names=first.class_names,
  )
  features = _features(first, source)
  rows = np.random.default_rng(FLAGS.seed).permutation(
      source.test.num_samples
  )[:FLAGS.num_real]
  real = figures.Points(
      features(source.test.encode(source.test.inputs[rows])),
      np.asarray(source.test.labels)[rows],
  )
  points = {
      name: figures.Points(
          features(a.inputs), np.asarray(classes_of_labels(a.labels)),
          _segments(a),
      ) for name, a in sets.items()
  }
  distances = {
      name: metrics.distance_to_nearest(
          real.features, real.classes, p.features, p.classes
      ) for name, p in points.items()
  }
  say("arranging the points")
  titles = {
      name: f"{name}, nearest at {distances[name]:.2f}" for name in points
  }
  figures.save(figures.t_sne(
      real, {titles[name]: p for name, p in points.items()},
      source.class_names, seed=FLAGS.seed,
  ), out)
  workdir.write_json(out.with_suffix(".json"), dict(
      distance_to_nearest=distances, num_real=len(rows),
      command=workdir.command(),
  ))
  print(f"written to {out} and {out.with_suffix('.json')}")


def _named(text: str):
  name, given, file = text.partition("=")
  if not given:
    raise ConfigError(f"`--sets` must be NAME=FILE, ...; got {text!r}.")
  return name, artifacts.load(file)


def _features(artifact, source):
  """What a network trained on the real data sees in samples."""
  network = networks.network(artifact.network, source.num_classes)
  say(f"training {artifact.network['name']} on {source.train.num_samples:,} "
      "real samples")
  train = jax.jit(
      lambda key, split: ncfm.train_member(
          key, network, split, num_epochs=FLAGS.num_epochs
      ).end
  )
  variables = train(jax.random.key(FLAGS.seed), source.train)

  def features(inputs):
    of_some = jax.jit(lambda x: network.stages(variables, x)[0][-1])
    parts = [of_some(jnp.asarray(x)) for x in _some(inputs)]
    return np.concatenate(parts).reshape(len(inputs), -1)

  return features


def _some(inputs, size: int = 250):
  return [inputs[i:i + size] for i in range(0, len(inputs), size)]


def _segments(artifact) -> np.ndarray | None:
  """[M] the segment of each sample, where the set was made in segments."""
  config = json.loads(artifact.provenance.get("config", "{}"))
  if "segments" not in config:
    return None
  per_class, number = config["samples_per_class"], config["segments"]["num"]
  classes = np.asarray(classes_of_labels(artifact.labels))
  rank = np.zeros(len(classes), int)
  for c in np.unique(classes):  # samples of a class are in order of their rows
    rank[classes == c] = np.arange((classes == c).sum())
  return rank % per_class // (per_class // number)


if __name__ == "__main__":
  launch.start(main)
