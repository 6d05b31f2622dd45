"""RFAD on MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rfad_mnist.py:ipc=10 \\
    --workdir=runs/rfad_mnist_10
"""

from configs.performance import students

get_config = students("rfad", "mnist")
