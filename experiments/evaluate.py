"""Evaluates a distilled set, whoever made it.

  python experiments/evaluate.py --artifact=DIR/distilled.safetensors \\
    --data=SPEC [--networks=lenet,convnet] [--num_networks=20] \\
    [--recipe=dsa:num_epochs=300] [--baselines=all] --out=report.json

Reads only the artifact: samples, labels, step sizes and their order, and the
preprocessing that the real data is put through. Networks that are not the
artifact's own take their default size; one for the shape of the data stands in
where the artifact names none. Beside `--out` is the report as a page, with the
ending .html. Several networks give a table and a matrix beside `--out`, random
real data of the same budget in both, and with `--full_data` the share of each
network's full accuracy that the set keeps. With
`--columns=attacks,calibration` the report says what accuracy is left when test
samples are attacked, and whether networks are as sure as they may be. Baselines
train as many networks as the set, unless `--num_sets` and `--networks_per_set`
say otherwise. Exit codes as in `distill.py`.
"""

from pathlib import Path

import begin
import jax
import launch
import options
from absl import flags

from distill_jax import artifact as artifacts
from distill_jax import figures, pages
from distill_jax.evaluation import attacks, baselines, columns, recipes
from distill_jax.quantising import encoding_of, quantise
from distill_jax.runs import real_data, source_of, workdir
from distill_jax.runs.assess import Settings, assess, check_evaluation
from distill_jax.runs.files import command, write_json
from distill_jax.runs.students import spec_of

FLAGS = flags.FLAGS
flags.DEFINE_string("artifact", None, "The distilled set.")
flags.DEFINE_string("data", None, "SPEC of the real data.")
flags.DEFINE_list("networks", [], "Students by name; the artifact's own first.")
flags.DEFINE_integer(
    "num_networks", 20, "Networks trained, of each kind.", lower_bound=1)
flags.DEFINE_string(
    "recipe", None, "Instead of the artifact's own: NAME[:field=value,...].")
flags.DEFINE_string(
    "cache_dir", None, "Where accuracies of real data are kept; beside --out.")
flags.DEFINE_string(
    "baselines", baselines.DEFAULT, "'all', names with commas, or ''.")
flags.DEFINE_integer(
    "num_sets",
    0,
    "Sets of each of --baselines; 0 for as many as suit.",
    lower_bound=0)
flags.DEFINE_integer(
    "networks_per_set",
    0,
    "Networks trained on each; 0 for as many as suit.",
    lower_bound=0)
flags.DEFINE_bool("full_data", False, "Train on all data too, for the ratio.")
flags.DEFINE_enum(
    "bits", "", ["", "8", "4", "2"],
    "Quantise the set first, to so many bits a value (`dd.quantise`).")
flags.DEFINE_string(
    "columns", "", "What else is measured: attacks, calibration or both.")
flags.DEFINE_float(
    "eps", attacks.EPS, "Of attacks: of pixels in [0, 1], or in model space.")
flags.DEFINE_integer(
    "num_attacked",
    columns.NUM_ATTACKED,
    "Test samples that are attacked; 0 for all.",
    lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of the networks.")
flags.DEFINE_string("out", "report.json", "Where the report goes.")
flags.mark_flags_as_required(["artifact", "data"])


def main(argv):
  del argv
  out = workdir.output(FLAGS.out, ".json")
  artifact = artifacts.load(FLAGS.artifact)
  if FLAGS.bits:
    artifact = quantise(artifact, int(FLAGS.bits))
  specs = [spec_of(name, artifact) for name in FLAGS.networks]
  settings = Settings(
      FLAGS.num_networks, FLAGS.baselines, FLAGS.num_sets,
      FLAGS.networks_per_set, FLAGS.full_data, FLAGS.columns, FLAGS.eps,
      FLAGS.num_attacked)
  check_evaluation(
      settings,
      *specs or [artifact.network],
      quantised=artifact.quantiser is not None,
      encoded=encoding_of(artifact) is not None,
      relabelled="teacher" in (artifact.views or ()))
  launch.widen(*specs or [artifact.network])
  reading = dict(data_dir=FLAGS.data_dir, validation_fraction=0.1)
  report = assess(
      jax.random.key(FLAGS.seed),
      artifact,
      source_of(artifact, FLAGS.data, **reading),
      settings=settings,
      network=specs or None,
      recipe=_recipe(FLAGS.recipe) if FLAGS.recipe else None,
      cache=Path(FLAGS.cache_dir or out.parent) / real_data.FILE,
      spec=FLAGS.data,
      reading=reading | dict(seed=0),
      seconds=artifact.provenance.get("seconds"),
      command=command())
  write_json(out, report)
  print(report)
  page = pages.write_evaluation(report, artifact, out.with_suffix(".html"))
  made = [out, page]
  if "networks" in report:
    made.append(out.with_suffix(".png"))
    figures.save(
        figures.transfer_matrix(
            {figures.method_name(artifact): report["networks"]},
            title=f"{figures.set_title(artifact)}: accuracy by network"),
        made[-1])
  print(f"\nwritten to {', '.join(map(str, made))}")


def _recipe(text: str) -> dict:
  """The recipe that a flag names, with the fields that it gives."""
  name, _, fields = text.partition(":")
  defaults = recipes.from_spec(dict(name=name)).spec
  del defaults["name"]
  chosen = vars(options.parse(fields, "--recipe", **defaults))
  given = {field: chosen[field] for field in options.named(fields)}
  return dict(name=name, **given)


if __name__ == "__main__":
  begin.start(main)
