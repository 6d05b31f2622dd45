"""NCFM (arXiv 2502.20653); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm.py:data=cifar10,ipc=10 \\
    --workdir=runs/ncfm --data_dir=DATA
"""

from configs.common import configure

get_config = configure("ncfm")
