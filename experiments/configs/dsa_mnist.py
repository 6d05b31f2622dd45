"""DSA on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa_mnist.py:ipc=10 \\
    --workdir=runs/dsa_mnist_10
"""

from configs.matching import matching

get_config = matching("dsa", "mnist")
