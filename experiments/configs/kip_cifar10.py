"""KIP on CIFAR-10; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/kip_cifar10.py:images=100,labels \\
    --workdir=runs/kip_cifar10_100
"""

from configs.performance import kernels

get_config = kernels("kip", "cifar10")
