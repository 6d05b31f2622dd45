"""CAFE on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cafe_cifar10.py:ipc=10 \\
    --workdir=runs/cafe_cifar10_10
"""

from configs.matching import matching

get_config = matching("cafe", "cifar10")
