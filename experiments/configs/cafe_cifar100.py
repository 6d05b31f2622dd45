"""CAFE on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cafe_cifar100.py:ipc=10 \\
    --workdir=runs/cafe_cifar100_10
"""

from configs.matching import matching

get_config = matching("cafe", "cifar100")
