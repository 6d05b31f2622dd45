"""KIP (arXiv 2011.00050, 2107.13034); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/kip.py:data=cifar10,rows=100 \\
    --workdir=runs/kip --data_dir=DATA
"""

from configs.common import configure

get_config = configure("kip")
