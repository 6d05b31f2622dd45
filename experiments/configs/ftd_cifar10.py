"""FTD on CIFAR-10; options in `configs/trajectories.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ftd_cifar10.py:ipc=10,experts=20 \\
    --workdir=runs/ftd_cifar10_10
"""

from configs.trajectories import trajectories

get_config = trajectories("ftd", "cifar10")
