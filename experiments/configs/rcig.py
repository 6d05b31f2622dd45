"""RCIG (arXiv 2302.06755); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rcig.py:data=cifar10,ipc=1 \\
    --workdir=runs/rcig --data_dir=DATA
"""

from configs.common import configure

get_config = configure("rcig", convnet=dict(name="frepo_convnet", norm="none"))
