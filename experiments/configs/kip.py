"""KIP (arXiv 2011.00050, 2107.13034).

  python experiments/distill.py \\
    --config=experiments/configs/kip.py:data=cifar10,rows=100 \\
    --workdir=runs/kip --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("kip")
