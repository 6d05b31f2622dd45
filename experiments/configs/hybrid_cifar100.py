"""DSA and DM together on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_cifar100.py:ipc=10 \\
    --workdir=runs/hybrid_cifar100_10
"""

from configs.matching import matching

get_config = matching("hybrid", "cifar100")
