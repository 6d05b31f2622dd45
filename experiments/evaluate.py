"""Evaluates a distilled set, whoever made it.

  python experiments/evaluate.py --artifact=DIR/distilled.safetensors \\
    --data=SPEC [--networks=lenet,convnet] [--num_networks=20] \\
    [--recipe=dsa:num_epochs=300] [--baselines=all] --out=report.json

It reads only the artifact: samples, labels, step sizes and their order, and the
preprocessing for the real data. Networks other than the artifact's own have
their default size. If the artifact names no network, one is chosen that suits
the shape of the data. The report is also written as a page, beside `--out` with
the ending .html. Several networks give a table and a matrix beside `--out`.
Both include random real data of the same budget, if that is among the
baselines, and with `--full_data` the share of each network's accuracy on all
data that the set keeps. With
`--columns=attacks,calibration` the report has the accuracy under attack, and
the calibration of the networks. Baselines train as many networks as the set,
unless `--num_sets` and `--networks_per_set` say otherwise. After an
interruption the same command goes on. Exit codes are those of `distill.py`.
"""

import begin
from absl import flags

from distill_jax.commands import options, process
from distill_jax.evaluation import attacks, baselines, columns
from distill_jax.runs.assess import Settings
from distill_jax.runs.file_evaluation import evaluate_file

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
  report, made = evaluate_file(
      FLAGS.artifact,
      FLAGS.data,
      out=FLAGS.out,
      settings=Settings(
          FLAGS.num_networks, FLAGS.baselines, FLAGS.num_sets,
          FLAGS.networks_per_set, FLAGS.full_data, FLAGS.columns, FLAGS.eps,
          FLAGS.num_attacked),
      networks=FLAGS.networks,
      recipe=options.recipe(FLAGS.recipe) if FLAGS.recipe else None,
      bits=int(FLAGS.bits or 0),
      seed=FLAGS.seed,
      data_dir=FLAGS.data_dir,
      cache_dir=FLAGS.cache_dir,
      widen=process.widen)
  print(report)
  print("\nwritten to", ", ".join(map(str, made)))


if __name__ == "__main__":
  begin.start(main, resumes=True)
