"""FRePo on CIFAR-10; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/frepo_cifar10.py:ipc=10 \\
    --workdir=runs/frepo_cifar10_10
"""

from configs.performance import students

get_config = students("frepo", "cifar10")
