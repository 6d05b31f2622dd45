"""RDED (arXiv 2312.03526); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rded.py:data=cifar10,ipc=10 \\
    --workdir=runs/rded --data_dir=DATA
"""

from configs.common import configure

get_config = configure("rded", convnet=dict(norm="batch"))
