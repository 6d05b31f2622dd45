"""DSA and DM together on Fashion-MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_fashion_mnist.py:ipc=10 \\
    --workdir=runs/hybrid_fashion_mnist_10
"""

from configs.matching import matching

get_config = matching("hybrid", "fashion_mnist")
