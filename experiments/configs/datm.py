"""DATM (arXiv 2310.05773); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/datm.py:data=cifar10,ipc=10,experts.num=20 \\
    --workdir=runs/datm --data_dir=DATA
"""

from configs.common import configure

get_config = configure("datm")
