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
      epochs=20,
      step_size=0.1,
      batch_size=256,
      learning_rate=0.03,
      label_learning_rate=0.03,
      step_size_learning_rate=0.03,
      beta1=0.9,
      clip_norm=1.0,
      num_steps=2000,
      log_every=200,
      checkpoint_every=200,
      quick=dict(num_steps=20, log_every=10, checkpoint_every=10),
  )
  config.evaluation.baselines = "all"
  config.evaluation.full_data = True
  return config
