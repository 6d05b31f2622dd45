"""NCFM on Fashion-MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_fashion_mnist.py:ipc=10 \\
    --workdir=runs/ncfm_fashion_mnist_10
"""

from configs.matching import matching

get_config = matching("ncfm", "fashion_mnist")
