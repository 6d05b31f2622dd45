"""Draws real data and distilled sets in one plane, by t-SNE.

  python experiments/embed.py --data=SPEC --out=tsne.png \\
    --sets=IDC=DIR/distilled.safetensors,EDD=DIR/distilled.safetensors

`distill_jax.runs.embedding.embed` says what is drawn and measured. If there are
more than 20 classes, the first 20 are drawn, but distances are over all.
"""

import begin
from absl import flags

from distill_jax import artifact as artifacts
from distill_jax import figures
from distill_jax.errors import ConfigError
from distill_jax.runs import source_of, workdir
from distill_jax.runs.embedding import embed
from distill_jax.runs.files import command, write_json

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
  made = embed(
      sets,
      source_of(next(iter(sets.values())), FLAGS.data, data_dir=FLAGS.data_dir),
      num_real=FLAGS.num_real,
      num_epochs=FLAGS.num_epochs,
      seed=FLAGS.seed)
  figures.save(made.figure, out)
  write_json(out.with_suffix(".json"), {**made.document, "command": command()})
  print(f"written to {out} and {out.with_suffix('.json')}")


def _sets() -> dict:
  """The sets by name."""
  sets = {}
  for text in FLAGS.sets:
    name, _, file = text.partition("=")
    if not name or not file or name in sets:
      raise ConfigError(
          "`--sets` must be NAME=FILE,... with a name for each; got "
          f"{text!r}.")
    sets[name] = artifacts.load(file)
  if not sets:
    raise ConfigError("`--sets` must name at least one set; got none.")
  return sets


if __name__ == "__main__":
  begin.start(main)
