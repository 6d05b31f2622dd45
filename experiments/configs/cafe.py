"""CAFE (arXiv 2203.01531); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cafe.py:data=mnist,ipc=10 \\
    --workdir=runs/cafe --data_dir=DATA
"""

from configs.common import configure

get_config = configure("cafe")
