"""SLDD on scikit-learn's digits with a small ConvNet: the quickstart.

  python experiments/distill.py \\
    --config=experiments/configs/sldd_digits.py --workdir=runs/quickstart

Ten 8x8 images, random initialisation; nothing to download. Options: fixed,
random, images=N, steps=S, epochs=E, theta=K, quick.
"""

from configs.unrolled import unrolled


def get_config(text=None):
  config = unrolled(
      text,
      method="sldd",
      data="digits",
      network=dict(name="convnet", depth=2, width=32),
      preprocessing="standardise",
      images=10,
      steps=1,
      batch_size=256,
      num_steps=1500,
      log_every=100,
      checkpoint_every=500,
      quick=dict(num_steps=20, log_every=10, checkpoint_every=10),
  )
  config.evaluation.baselines = "all"
  config.evaluation.full_data = True
  return config
