"""FTD on Fashion-MNIST; options in `configs/trajectories.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ftd_fashion_mnist.py:ipc=10,experts=20 \\
    --workdir=runs/ftd_fashion_mnist_10
"""

from configs.trajectories import trajectories

get_config = trajectories("ftd", "fashion_mnist")
