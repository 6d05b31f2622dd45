"""DM on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dm_cifar100.py:ipc=10 \\
    --workdir=runs/dm_cifar100_10
"""

from configs.matching import matching

get_config = matching("dm", "cifar100")
