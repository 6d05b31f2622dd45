"""IDC on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc_cifar10.py:ipc=10 \\
    --workdir=runs/idc_cifar10_10
"""

from configs.matching import matching

get_config = matching("idc", "cifar10")
