"""RCIG on Fashion-MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rcig_fashion_mnist.py:ipc=10 \\
    --workdir=runs/rcig_fashion_mnist_10
"""

from configs.performance import students

get_config = students("rcig", "fashion_mnist")
