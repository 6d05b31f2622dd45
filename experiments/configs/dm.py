"""DM (arXiv 2110.04181); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dm.py:data=fashion_mnist,ipc=10,width=32 \\
    --workdir=runs/dm --data_dir=DATA
"""

from configs.common import configure

get_config = configure("dm")
