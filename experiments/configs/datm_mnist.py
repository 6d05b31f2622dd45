"""DATM on MNIST; options in `configs/trajectories.py`.

  python experiments/distill.py \\
    --config=experiments/configs/datm_mnist.py:ipc=10,experts=20 \\
    --workdir=runs/datm_mnist_10
"""

from configs.trajectories import trajectories

get_config = trajectories("datm", "mnist")
