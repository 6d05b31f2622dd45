"""Makes two data sets of the results that nobody publishes as files.

  python experiments/make_data.py --made=tissue,thirty --data_dir=DATA

`tissue` draws a folder of small images, DATA/tissue, that look like stained
tissue: openings with a ring of cells around them, the glands (1,200 training
images), and openings among crowded, irregular cells (400). Colour and
brightness vary from image to image in both classes and tell little about them.
The test part has 600 and 200.

`thirty` puts the ten classes each of MNIST, Fashion-MNIST and CIFAR-10 into one
file, DATA/thirty.npz, of 28 x 28 pixels in grey. It reads these three from
--data_dir, arranged as docs/data_sets.md says.
"""

from pathlib import Path

import begin
import launch
import made_data
from absl import flags

from distill_jax.choices import some_of

FLAGS = flags.FLAGS
flags.DEFINE_list("made", [], "What is made: tissue, thirty.")

_SETS = dict(tissue=made_data.tissue, thirty=made_data.thirty)


def main(argv):
  del argv
  if not FLAGS.made:
    raise launch.missing("made", "tissue, thirty or both")
  if not FLAGS.data_dir:
    raise launch.missing("data_dir", "the data sets are written there")
  for name in some_of(_SETS, "made", FLAGS.made):
    print(f"written to {_SETS[name](Path(FLAGS.data_dir))}")


if __name__ == "__main__":
  begin.start(main, computes=False)
