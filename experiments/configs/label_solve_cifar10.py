"""Label solve on CIFAR-10; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/label_solve_cifar10.py:images=500 \\
    --workdir=runs/label_solve_cifar10_500
"""

from configs.performance import kernels

get_config = kernels("label_solve", "cifar10")
