"""RaT-BPTT on CIFAR-10; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rat_bptt_cifar10.py:ipc=10 \\
    --workdir=runs/rat_bptt_cifar10_10
"""

from configs.performance import students

get_config = students("rat_bptt", "cifar10")
