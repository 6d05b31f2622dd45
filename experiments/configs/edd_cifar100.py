"""EDD on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd_cifar100.py:ipc=20 \\
    --workdir=runs/edd_cifar100_20
"""

from configs.matching import matching

get_config = matching("edd", "cifar100")
