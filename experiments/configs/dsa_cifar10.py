"""DSA on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa_cifar10.py:ipc=10 \\
    --workdir=runs/dsa_cifar10_10
"""

from configs.matching import matching

get_config = matching("dsa", "cifar10")
