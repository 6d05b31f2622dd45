"""RFAD on CIFAR-10; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rfad_cifar10.py:ipc=10 \\
    --workdir=runs/rfad_cifar10_10
"""

from configs.performance import students

get_config = students("rfad", "cifar10")
