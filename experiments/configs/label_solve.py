"""Label solve (arXiv 2011.00050); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/label_solve.py:data=cifar10,rows=500 \\
    --workdir=runs/label_solve --data_dir=DATA
"""

from configs.common import configure

get_config = configure("label_solve", ipc=50)
