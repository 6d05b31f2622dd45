"""RCIG on MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rcig_mnist.py:ipc=10 \\
    --workdir=runs/rcig_mnist_10
"""

from configs.performance import students

get_config = students("rcig", "mnist")
