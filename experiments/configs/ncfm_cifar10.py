"""NCFM on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_cifar10.py:ipc=10 \\
    --workdir=runs/ncfm_cifar10_10
"""

from configs.matching import matching

get_config = matching("ncfm", "cifar10")
