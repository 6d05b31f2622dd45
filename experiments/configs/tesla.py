"""TESLA (arXiv 2211.10586).

  python experiments/distill.py \\
    --config=experiments/configs/tesla.py:data=cifar10,ipc=10,experts.num=20 \\
    --workdir=runs/tesla --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("tesla")
