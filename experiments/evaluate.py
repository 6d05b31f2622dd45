"""Evaluates a distilled set, whoever made it.

  python experiments/evaluate.py --artifact=DIR/distilled.safetensors \\
    --data=SPEC [--networks=lenet,convnet] [--num_networks=20] \\
    [--recipe=dsa:num_epochs=300] [--baselines=all] --out=report.json

Reads only the artifact: samples, labels, step sizes and their order, and the
preprocessing that the real data is put through. Networks that are not the
artifact's own take their default size. Several networks give a table and a
matrix beside `--out`, random real data of the same budget in both, and with
`--full_data` the share of each network's full accuracy that the set keeps. Exit
codes as in `distill.py`.
"""

from pathlib import Path

import assess
import build
import jax
import known
import launch
import options
import workdir
from absl import flags

from distill_jax import artifact as artifacts
from distill_jax import figures
from distill_jax.errors import ConfigError
from distill_jax.evaluation import recipes

FLAGS = flags.FLAGS
flags.DEFINE_string("artifact", None, "The distilled set.")
flags.DEFINE_string("data", None, "SPEC of the real data.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_list("networks", [], "Students by name; the artifact's own first.")
flags.DEFINE_integer("num_networks", 20, "Networks trained, of each kind.",
                     lower_bound=1)
flags.DEFINE_string(
    "recipe", None,
    "Instead of the artifact's own: NAME[:field=value,...].",
)
flags.DEFINE_string(
    "cache_dir", None,
    "Where accuracies of real data are kept; beside --out.",
)
flags.DEFINE_string("baselines", "", "'all', or names with commas.")
flags.DEFINE_integer("num_sets", 20, "Sets of each of --baselines.",
                     lower_bound=1)
flags.DEFINE_integer("networks_per_set", 10, "Networks trained on each.",
                     lower_bound=1)
flags.DEFINE_bool("full_data", False, "Train on all data too, for the ratio.")
flags.DEFINE_integer("seed", 0, "Of the networks.")
flags.DEFINE_string("out", "report.json", "Where the report goes.")
flags.mark_flags_as_required(["artifact", "data"])


def main(argv):
  del argv
  out = workdir.output(FLAGS.out, ".json")
  artifact = artifacts.load(FLAGS.artifact)
  own = artifact.network
  names = FLAGS.networks or list(filter(None, [own.get("name")]))
  if not names:
    raise ConfigError(
        "`--networks` must be given; the artifact names no network of its own."
    )
  specs = {n: own if n == own.get("name") else dict(name=n) for n in names}
  settings = dict(
      num_networks=FLAGS.num_networks, baselines=FLAGS.baselines,
      num_sets=FLAGS.num_sets, networks_per_set=FLAGS.networks_per_set,
      full_data=FLAGS.full_data,
  )
  build.check_evaluation(settings, *specs.values())
  launch.widen(*specs.values())
  source = build.source_of(
      artifact, FLAGS.data, data_dir=FLAGS.data_dir, validation_fraction=0.1
  )
  report = assess.assess(
      jax.random.key(FLAGS.seed), artifact, source,
      settings=settings,
      spec=FLAGS.data, seconds=artifact.provenance.get("seconds"),
      cache=Path(FLAGS.cache_dir or out.parent) / known.FILE,
      data_dir=FLAGS.data_dir,
      networks=specs,
      recipe=_recipe(FLAGS.recipe) if FLAGS.recipe else None,
  )
  workdir.write_json(out, report)
  print(assess.show(report))
  if "networks" in report:
    picture = out.with_suffix(".png")
    figures.save(figures.transfer_matrix(
        {artifact.method: report["networks"]}
    ), picture)
    print(f"\nwritten to {out} and {picture}")
  else:
    print(f"\nwritten to {out}")


def _recipe(text: str) -> dict:
  """The recipe that a flag names; fields have the types of its defaults."""
  name, _, fields = text.partition(":")
  defaults = recipes.from_spec(dict(name=name)).spec
  del defaults["name"]
  return dict(
      name=name, **vars(options.parse(fields, "--recipe", **defaults))
  )


if __name__ == "__main__":
  launch.start(main)
