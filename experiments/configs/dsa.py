"""DSA (arXiv 2102.08259); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa.py:data=cifar10,ipc=10,width=32 \\
    --workdir=runs/dsa --data_dir=DATA
"""

from configs.common import configure

get_config = configure("dsa")
