"""DD on MNIST with LeNet (arXiv 1811.10959, section 4): labels stay one-hot.

  python experiments/distill.py \\
    --config=experiments/configs/dd_mnist.py:fixed,images=100 \\
    --workdir=runs/dd_mnist_100

Options: fixed, random, images=N, steps=S, epochs=E, theta=K, quick. Published:
fixed initialisation 96.6 (100 images), about 94 (10); random 79.5.
"""

from configs.unrolled import unrolled


def get_config(text=None):
  return unrolled(
      text,
      method="dd",
      data="idx:mnist",
      network=dict(name="lenet"),
      preprocessing=dict(mean=(0.1307,), std=(0.3081,)),
  )
