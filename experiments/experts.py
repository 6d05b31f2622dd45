"""Trains the experts that trajectory methods follow.

  python experiments/experts.py --out=DIR \\
    --config=experiments/configs/mtt.py:data=mnist,experts.num=10 \\
    [--data=SPEC] [--data_dir=DIR] [--config.field=value ...]
  python experiments/distill.py --config=... --experts=DIR --workdir=...

DIR then holds expert_000.safetensors, expert_001.safetensors, ... The same
command continues where it was interrupted: finished experts are kept, and the
missing ones are added. Without `--experts`, `distill.py` trains its own ones.
"""

from pathlib import Path

import begin
import own_data
import sources
from absl import flags
from ml_collections import config_flags

from distill_jax import methods
from distill_jax.methods.trajectories import experts_for
from distill_jax.runs.console import say

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "Of a trajectory method: FILE[:options].")
flags.DEFINE_string("out", None, "A folder, where the experts live.")
flags.DEFINE_string("data", None, "SPEC of a data set, not the config's.")
flags.mark_flags_as_required(["config", "out"])


def main(argv):
  del argv
  config, note = own_data.settled(FLAGS["config"], FLAGS.data)
  folder = Path(FLAGS.out)
  source = sources.source(config, data_dir=FLAGS.data_dir)
  if note:
    say(note)
  found = experts_for(
      source, methods.from_spec(config.method.to_dict()),
      config.network.to_dict() or None, folder, say)
  print(
      f"{found.num_experts} experts of {found.num_epochs} epochs in {folder}"
      f"{_accuracy(found)}")


def _accuracy(found) -> str:
  """The experts' mean accuracy on held-out data, if it was measured."""
  if not found.accuracy:
    return ""
  mean = 100 * sum(found.accuracy) / len(found.accuracy)
  return f", {mean:.1f} % on {found.documents[0]['about']['held_out']}"


if __name__ == "__main__":
  begin.start(main, resumes=True)
