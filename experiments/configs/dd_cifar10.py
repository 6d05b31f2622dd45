"""DD on CIFAR-10 with AlexCifarNet (arXiv 1811.10959, section 4).

  python experiments/distill.py \\
    --config=experiments/configs/dd_cifar10.py:fixed \\
    --workdir=runs/dd_cifar10

Options: fixed, random, images=N, steps=S, epochs=E, theta=K, quick. Published,
100 images: fixed initialisation 54.0, random 36.8. Real batches are not
augmented here; the published ones are (padded crops and flips).
"""

from configs.unrolled import unrolled


def get_config(text=None):
  return unrolled(
      text,
      method="dd",
      data="npz:cifar10.npz",
      network=dict(name="alex_cifar_net"),
      preprocessing=dict(
          mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.243, 0.261)
      ),
      step_size=0.001,
  )
