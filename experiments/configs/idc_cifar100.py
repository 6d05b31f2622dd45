"""IDC on CIFAR-100; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc_cifar100.py:ipc=10 \\
    --workdir=runs/idc_cifar100_10
"""

from configs.matching import matching

get_config = matching("idc", "cifar100")
