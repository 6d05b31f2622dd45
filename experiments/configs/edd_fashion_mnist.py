"""EDD on Fashion-MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd_fashion_mnist.py:ipc=20 \\
    --workdir=runs/edd_fashion_mnist_20
"""

from configs.matching import matching

get_config = matching("edd", "fashion_mnist")
