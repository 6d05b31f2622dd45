"""DC on CIFAR-10; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_cifar10.py:ipc=10 \\
    --workdir=runs/dc_cifar10_10
"""

from configs.matching import matching

get_config = matching("dc", "cifar10")
