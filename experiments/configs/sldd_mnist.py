"""SLDD on MNIST with LeNet (arXiv 1910.02551, section 4).

  python experiments/distill.py \\
    --config=experiments/configs/sldd_mnist.py:fixed,images=10,steps=1 \\
    --workdir=runs/sldd_mnist_10

Options: fixed, random, images=N, steps=S, epochs=E, theta=K, quick. Published:
fixed initialisation 96.13 (10 images), 91.56 (5), 98.6 (100); random 82.7.
"""

from configs.unrolled import unrolled


def get_config(text=None):
  return unrolled(
      text,
      method="sldd",
      data="idx:mnist",
      network=dict(name="lenet"),
      preprocessing=dict(mean=(0.1307,), std=(0.3081,)),
  )
