"""DM on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dm_mnist.py:ipc=10 \\
    --workdir=runs/dm_mnist_10
"""

from configs.matching import matching

get_config = matching("dm", "mnist")
