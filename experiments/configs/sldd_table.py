"""SLDD on a table of numbers with an MLP: your own CSV.

  python experiments/distill.py \\
    --config=experiments/configs/sldd_table.py:images=6 \\
    --data="csv:FILE?label=COLUMN&test=0.2" --workdir=runs/table

Rows are samples, columns are standardised. Options: fixed, random, images=N
(distilled rows), steps=S, epochs=E, theta=K, quick.
"""

from configs.unrolled import unrolled


def get_config(text=None):
  config = unrolled(
      text,
      method="sldd",
      data="csv:table.csv?test=0.2",
      network=dict(name="mlp", widths=(64,)),
      preprocessing="standardise",
      images=10,
      steps=1,
      epochs=10,
      step_size=0.1,
      batch_size=64,
      learning_rate=0.03,
      label_learning_rate=0.03,
      step_size_learning_rate=0.03,
      beta1=0.9,
      restart_after=0,
      num_steps=1_000,
      quick=dict(batch_size=32),
  )
  config.evaluation.baselines = "all"
  config.evaluation.full_data = True
  return config
