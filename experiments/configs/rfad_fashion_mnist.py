"""RFAD on Fashion-MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rfad_fashion_mnist.py:ipc=10 \\
    --workdir=runs/rfad_fashion_mnist_10
"""

from configs.performance import students

get_config = students("rfad", "fashion_mnist")
