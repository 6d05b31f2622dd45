"""MTT on MNIST; options in `configs/trajectories.py`.

  python experiments/distill.py \\
    --config=experiments/configs/mtt_mnist.py:ipc=10,experts=20 \\
    --workdir=runs/mtt_mnist_10
"""

from configs.trajectories import trajectories

get_config = trajectories("mtt", "mnist")
