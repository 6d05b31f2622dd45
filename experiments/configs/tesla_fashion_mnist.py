"""TESLA on Fashion-MNIST; options in `configs/trajectories.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tesla_fashion_mnist.py:ipc=10,experts=20 \\
    --workdir=runs/tesla_fashion_mnist_10
"""

from configs.trajectories import trajectories

get_config = trajectories("tesla", "fashion_mnist")
