"""DSA and DM together on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_mnist.py:ipc=10 \\
    --workdir=runs/hybrid_mnist_10
"""

from configs.matching import matching

get_config = matching("hybrid", "mnist")
