"""MTT (arXiv 2203.11932); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/mtt.py:data=cifar10,ipc=10,experts.num=20 \\
    --workdir=runs/mtt --data_dir=DATA
"""

from configs.common import configure

get_config = configure("mtt")
