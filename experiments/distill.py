"""Distils a data set.

  python experiments/distill.py --config=FILE[:options] --workdir=DIR \\
    [--data=SPEC] [--data_dir=DIR] [--config.field=value ...]

DIR then holds config.json, metrics.jsonl, checkpoints/, distilled.safetensors,
report.json and figures/. The same command resumes an interrupted run. Exit
codes: 0 done or stopped by a signal with a checkpoint; 2 a mistake in the
arguments or the data, told in one line; 3 the loss was not finite.
"""

from pathlib import Path

import assess
import build
import corpus
import driver
import launch
import pool
import saved_start
import segmented
import snapping
import solved
import trajectory
import workdir
from absl import flags
from console import say
from ml_collections import config_flags

from distill_jax import artifact

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "What to run: FILE[:options].")
flags.DEFINE_string("workdir", None, "Where the run lives.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the config's.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_string(
    "cache_dir", None,
    "Where accuracies of real data are kept, for runs to share; the workdir.",
)
flags.DEFINE_string(
    "experts", None,
    "A folder of experts for trajectory methods; by default they are trained "
    "below --cache_dir, and shared there.",
)
flags.mark_flags_as_required(["config", "workdir"])


def main(argv):
  del argv
  config = FLAGS.config
  launch.widen(config.network)
  spec = FLAGS.data or config.data
  workdir.check_own(Path(FLAGS.workdir))
  source = build.source(
      config, spec=spec, data_dir=FLAGS.data_dir,
      cache=Path(FLAGS.cache_dir or FLAGS.workdir),
  )
  facts, lines = corpus.told(source, build.num_rows(config, source))
  for line in lines:
    say(line)
  source = source._replace(facts=facts)
  run = build.run(config, source)
  fingerprint = source.fingerprint()
  trajectory.check_given(config, source, fingerprint, FLAGS.experts)
  folder = workdir.open_workdir(
      FLAGS.workdir, saved_start.identity(config), spec, fingerprint
  )
  with workdir.alone(folder):
    _distil(config, run, folder, spec, fingerprint)


def _distil(config, run, folder, spec, fingerprint):
  run = pool.prepare(run, config, folder)
  run = trajectory.prepare(
      run, config, fingerprint, FLAGS.experts,
      home=Path(FLAGS.cache_dir or folder),
  )
  train = segmented.train if "segments" in config else driver.train
  if config.method == "label_solve":
    train = solved.train
  elif config.get("snap", {}).get("rounds"):
    train = snapping.train
  outcome = train(run, config, folder)
  distilled = artifact.to_artifact(
      run.estimator, outcome.distilled, run.source,
      method=config.method,
      order=run.rows.order,
      recipe=run.recipe,
      network=config.network.to_dict(),
      initial=outcome.objective if config.student_init == "fixed" else (),
      label_space=run.label_space,
      provenance=dict(
          fingerprint=fingerprint, seed=config.seed,
          config=config.to_json(), seconds=round(outcome.seconds, 1),
          **outcome.provenance,
      ),
  )
  artifact.save(distilled, folder / "distilled.safetensors")
  assess.finish(
      run, config, folder, distilled, outcome, spec,
      cache_dir=Path(FLAGS.cache_dir or folder), data_dir=FLAGS.data_dir,
  )


if __name__ == "__main__":
  launch.start(main)
