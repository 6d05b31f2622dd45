"""KIP on MNIST; options in `configs/performance.py`.

  python experiments/distill.py \\
    --config=experiments/configs/kip_mnist.py:images=100,labels \\
    --workdir=runs/kip_mnist_100
"""

from configs.performance import kernels

get_config = kernels("kip", "mnist")
