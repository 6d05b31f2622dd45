"""DSA and DM together on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_cifar10.py:ipc=10 \\
    --workdir=runs/hybrid_cifar10_10
"""

from configs.matching import matching

get_config = matching("hybrid", "cifar10")
