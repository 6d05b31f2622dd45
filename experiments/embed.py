"""Draws real data and distilled sets in one plane, by t-SNE.

  python experiments/embed.py --data=SPEC --out=tsne.png \\
    --sets=IDC=DIR/distilled.safetensors,EDD=DIR/distilled.safetensors

The points are features of the first set's network after some epochs on the real
training data; of the usual network for their shape where the set has a kernel
or names none. Real samples are small points, distilled ones large markers, one
shape for each segment where a set was made in segments. Above each panel: the
distance of a real sample to the nearest distilled one of its class, in the
space of features, on average over the test samples drawn. Of more than 20
classes the first 20 are drawn; the distances are of all.
"""

import begin
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax import lax

from distill_jax import artifact as artifacts
from distill_jax import environment, figures, models
from distill_jax.errors import ConfigError, DataError
from distill_jax.evaluation import metrics
from distill_jax.figures.captions import classes_of_rows
from distill_jax.objectives import ncfm
from distill_jax.runs import source_of, workdir
from distill_jax.runs.console import say
from distill_jax.runs.files import command, write_json

_ROWS = 50  # samples that the network sees at once

FLAGS = flags.FLAGS
flags.DEFINE_list("sets", None, "NAME=FILE of the distilled sets.")
flags.DEFINE_string("data", None, "SPEC of the real data.")
flags.DEFINE_string("out", "tsne.png", "Where the figure goes.")
flags.DEFINE_integer("num_real", 1_000, "Test samples drawn.", lower_bound=1)
flags.DEFINE_integer("num_epochs", 2, "Of the network.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the network, the samples and t-SNE.")
flags.mark_flags_as_required(["sets", "data"])


def main(argv):
  del argv
  out = workdir.output(FLAGS.out, ".png")  # the numbers go beside it
  sets = _sets()
  first = next(iter(sets.values()))
  source = source_of(first, FLAGS.data, data_dir=FLAGS.data_dir)
  if source.test is None:
    raise DataError(f"`data` must have a test part; got none in {FLAGS.data}.")
  k_train, k_rows = jax.random.split(jax.random.key(FLAGS.seed))
  network = _network(first, source)
  features = _features(k_train, network, source)
  rows = np.asarray(jax.random.permutation(
      k_rows, source.test.num_samples))[:FLAGS.num_real]
  real = figures.Points(
      features(source.test.encode(source.test.inputs[rows])),
      np.asarray(source.test.labels)[rows])
  points = {
      name:
          figures.Points(
              features(a.inputs), classes_of_rows(a.labels, a.label_space),
              a.provenance.get("segment_of_sample")) for name, a in sets.items()
  }
  distances = {
      name:
          metrics.distance_to_nearest(
              real.features, real.classes, p.features, p.classes)
      for name, p in points.items()
  }
  say("arranging the points")
  titles = {
      name: (
          f"{name}, {figures.set_size(sets[name])}\nmean distance from a real "
          f"sample to the nearest distilled one of its class: "
          f"{distances[name]:.2f}") for name in points
  }
  figures.save(
      figures.t_sne(
          real, {
              titles[name]: p for name, p in points.items()
          },
          source.class_names,
          seed=FLAGS.seed,
          title=f"{figures.data_name(source.name)}: {len(rows):,} real test "
          f"samples and distilled sets, features of {first.network['name']}"),
      out)
  write_json(
      out.with_suffix(".json"),
      dict(
          distance_to_nearest=distances,
          num_real=len(rows),
          network=network,
          num_epochs=FLAGS.num_epochs,
          seed=FLAGS.seed,
          device=environment.device(),
          command=command()))
  print(f"written to {out} and {out.with_suffix('.json')}")


def _sets() -> dict:
  """The sets by name, once they are known to lie in one space."""
  sets = {}
  for text in FLAGS.sets:
    name, given, file = text.partition("=")
    if not given or name in sets:
      raise ConfigError(
          f"`sets` must be NAME=FILE,... with a name for each; got {text!r}.")
    sets[name] = artifacts.load(file)
  first, *others = sets.values()
  for other in others:
    if _space(other) != _space(first):
      raise ConfigError(
          "`sets` must have the same classes, shape and preprocessing; got "
          f"{' and '.join(sets)}, which differ.")
  return sets


def _space(artifact):
  """What sets must share for their samples to be compared."""
  return (
      artifact.class_names, artifact.inputs.shape[1:],
      type(artifact.preprocessing),
      *(np.asarray(a).tobytes() for a in artifact.preprocessing))


def _network(artifact, source) -> dict:
  """The specification of a network that has features."""
  named = "name" in artifact.network and models.is_network(artifact.network)
  return artifact.network if named else models.default(source)


def _features(key, spec, source):
  """What a network trained on the real data sees in samples."""
  network = models.from_spec(spec, source.num_classes)
  say(
      f"training {spec['name']} on {source.train.num_samples:,} "
      "real samples")
  train = jax.jit(
      lambda key, split: ncfm.train_member(
          key, network, split, num_epochs=FLAGS.num_epochs).end)
  variables = train(key, source.train)

  @jax.jit
  def features(inputs):
    return lax.map(
        lambda x: network.stages(variables, x[None])[0][-1].ravel(),
        inputs,
        batch_size=_ROWS)

  return lambda inputs: np.asarray(features(jnp.asarray(inputs)))


if __name__ == "__main__":
  begin.start(main)
