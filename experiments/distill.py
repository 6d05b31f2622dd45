"""Distils a data set.

  python experiments/distill.py --config=FILE[:options] --workdir=DIR \\
    [--data=SPEC] [--data_dir=DIR] [--config.field=value ...]
  python experiments/distill.py --data=SPEC --workdir=DIR

DIR then holds config.json, metrics.jsonl, checkpoints/, distilled.safetensors,
report.json, report.html (all of it on one page) and figures/. The same command
resumes an interrupted run. With `--data` and no `data=NAME` among the options,
a network is chosen that suits the shape of the data; without `--config`, a
method is chosen too. Exit codes: 0 finished; 2 a mistake in the arguments or
the data, reported in one line; 3 the loss was not finite; 128 plus the number
of the signal that stopped it, with a checkpoint if steps were taken.
"""

from pathlib import Path

import begin
import launch
import own_data
import sources
from absl import flags
from configs.common import published
from ml_collections import config_flags

from distill_jax import methods
from distill_jax.commands import process
from distill_jax.errors import ConfigError
from distill_jax.runs import Run, workdir
from distill_jax.runs.console import say
from distill_jax.runs.workdir import flat

FLAGS = flags.FLAGS
USUAL = Path(__file__).parent / "configs" / "usual.py"
config_flags.DEFINE_config_file(
    "config", None, "What to run: FILE[:options]; usual.py, where --data is "
    "given: what suits the data.")
flags.DEFINE_string("workdir", None, "Where the run lives.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the config's.")
flags.DEFINE_string(
    "cache_dir", None,
    "Where accuracies of real data are kept, for runs to share; the workdir.")
flags.DEFINE_string(
    "experts", None,
    "A folder of experts for trajectory methods; by default they are trained "
    "below --cache_dir, and shared there.")
flags.DEFINE_float(
    "time_limit", None,
    "Minutes after which the steps should have ended: the run stops before, "
    "with a checkpoint, and the same command goes on.")
flags.DEFINE_integer(
    "profile", 0,
    "A trace of whole chunks, until it has so many steps, in WORKDIR/profile.")
flags.DEFINE_string(
    "metrics", "", "tensorboard, wandb or both, with a comma: where losses go "
    "besides the log.")
flags.DEFINE_bool(
    "again", False, "Whether to evaluate a run that is finished anew.")
flags.DEFINE_bool(
    "print_config", False,
    "Show every field with its published counterpart, and stop.")


def main(argv):
  del argv
  if own_data.is_unsaid(FLAGS["config"], FLAGS.data):
    raise launch.missing(
        "config", "what to run, such as FILE:data=digits, or --data=SPEC")
  config, note = own_data.settled(FLAGS["config"], FLAGS.data)
  usual = own_data.is_usual(FLAGS["config"])
  if FLAGS.print_config and not usual:
    print(described(config, published(FLAGS.config)))
    return
  if FLAGS.workdir is None and not FLAGS.print_config:
    raise launch.missing("workdir", "a folder for the run")
  process.widen(config.network)
  folder = Path(FLAGS.workdir or ".")
  if not FLAGS.print_config:
    workdir.check_own(folder)
  cache = FLAGS.cache_dir or FLAGS.workdir
  source = sources.source(
      config, data_dir=FLAGS.data_dir, cache=Path(cache) if cache else None)
  if usual:
    config.method = own_data.usual(FLAGS["config"], config, source)
    say(f"method: {config.method.name}, which suits data of this kind")
  if FLAGS.print_config:
    print(described(config, {}))
    return
  if note:
    source = source._replace(facts={**source.facts, "preprocessing": note})
  per_class, fewer = own_data.per_class(FLAGS["config"], config, source)
  if fewer:
    config.per_class = per_class
    say(fewer)
  Run(
      folder,
      source,
      methods.from_spec(config.method.to_dict()),
      config.network.to_dict() or None,
      per_class=per_class,
      num_rows=config.num_rows or None,
      seed=config.seed,
      evaluation=config.evaluation.to_dict(),
      figures=config.figures,
      log_every=config.log_every or None,
      checkpoint_every=config.checkpoint_every or None,
      cache_dir=FLAGS.cache_dir,
      experts=FLAGS.experts,
      time_limit=_seconds_left(),
      profile=FLAGS.profile,
      metrics=FLAGS.metrics,
      data=config.data,
      reading=dict(
          data_dir=FLAGS.data_dir,
          seed=config.seed,
          validation_fraction=config.validation_fraction),
      record=config.to_dict()).go(again=FLAGS.again)


def _seconds_left() -> float | None:
  """Seconds left of the time limit, which counts from the program's start."""
  if FLAGS.time_limit is not None and not FLAGS.time_limit > 0:
    raise ConfigError(
        f"`--time_limit` must be minutes above 0; got {FLAGS.time_limit:g}.")
  return process.seconds_left(FLAGS.time_limit)


def described(config, there) -> str:
  """Every field with its value and the published value, one line each.

  Args:
    config: the configuration that would be run.
    there: the published fields, or None.
  """
  known, lines = flat(there or {}), []
  for name, value in flat(config.to_dict()).items():
    line = f"{name} = {value!r}"
    if name in known and known[name] != value:
      line = f"{line:<54} published {known[name]!r}"
    lines.append(line)
  if there is None:
    lines.append("No settings were published for these data.")
  return "\n".join(lines)


if __name__ == "__main__":
  begin.start(main, USUAL, resumes=True)
