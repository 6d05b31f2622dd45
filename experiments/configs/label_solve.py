"""Label solve (arXiv 2011.00050).

  python experiments/distill.py \\
    --config=experiments/configs/label_solve.py:data=cifar10,rows=500 \\
    --workdir=runs/label_solve --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("label_solve", ipc=50)
