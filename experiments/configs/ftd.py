"""FTD (arXiv 2211.11004); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ftd.py:data=cifar10,ipc=10,experts.num=20 \\
    --workdir=runs/ftd --data_dir=DATA
"""

from configs.common import configure

get_config = configure("ftd")
