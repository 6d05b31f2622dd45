"""TESLA (arXiv 2211.10586); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tesla.py:data=cifar10,ipc=10,experts.num=20 \\
    --workdir=runs/tesla --data_dir=DATA
"""

from configs.common import configure

get_config = configure("tesla")
