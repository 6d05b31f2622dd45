"""DSA on Fashion-MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa_fashion_mnist.py:ipc=10 \\
    --workdir=runs/dsa_fashion_mnist_10
"""

from configs.matching import matching

get_config = matching("dsa", "fashion_mnist")
