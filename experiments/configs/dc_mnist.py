"""DC on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_mnist.py:ipc=10 \\
    --workdir=runs/dc_mnist_10
"""

from configs.matching import matching

get_config = matching("dc", "mnist")
