"""EDD on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd_cifar10.py:ipc=20 \\
    --workdir=runs/edd_cifar10_20
"""

from configs.matching import matching

get_config = matching("edd", "cifar10")
