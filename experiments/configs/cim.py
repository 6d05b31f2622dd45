"""CIM (arXiv 2607.00916); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cim.py:data=cifar10,ipc=10 \\
    --workdir=runs/cim --data_dir=DATA
"""

from configs.common import configure

get_config = configure("cim", convnet=dict(norm="batch"))
