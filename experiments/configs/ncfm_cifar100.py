"""NCFM on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_cifar100.py:ipc=10 \\
    --workdir=runs/ncfm_cifar100_10
"""

from configs.matching import matching

get_config = matching("ncfm", "cifar100")
