"""DC on Fashion-MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_fashion_mnist.py:ipc=10 \\
    --workdir=runs/dc_fashion_mnist_10
"""

from configs.matching import matching

get_config = matching("dc", "fashion_mnist")
