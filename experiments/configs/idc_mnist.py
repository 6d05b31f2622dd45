"""IDC on MNIST; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc_mnist.py:ipc=10 \\
    --workdir=runs/idc_mnist_10
"""

from configs.matching import matching

get_config = matching("idc", "mnist")
