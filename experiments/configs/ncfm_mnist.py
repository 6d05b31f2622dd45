"""NCFM on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_mnist.py:ipc=10 \\
    --workdir=runs/ncfm_mnist_10
"""

from configs.matching import matching

get_config = matching("ncfm", "mnist")
