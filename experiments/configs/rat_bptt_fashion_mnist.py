"""RaT-BPTT on Fashion-MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rat_bptt_fashion_mnist.py:ipc=10 \\
    --workdir=runs/rat_bptt_fashion_mnist_10
"""

from configs.performance import students

get_config = students("rat_bptt", "fashion_mnist")
