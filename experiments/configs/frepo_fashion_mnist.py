"""FRePo on Fashion-MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/frepo_fashion_mnist.py:ipc=10 \\
    --workdir=runs/frepo_fashion_mnist_10
"""

from configs.performance import students

get_config = students("frepo", "fashion_mnist")
