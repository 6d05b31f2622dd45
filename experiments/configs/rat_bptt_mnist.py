"""RaT-BPTT on MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rat_bptt_mnist.py:ipc=10 \\
    --workdir=runs/rat_bptt_mnist_10
"""

from configs.performance import students

get_config = students("rat_bptt", "mnist")
