"""RCIG (arXiv 2302.06755).

  python experiments/distill.py \\
    --config=experiments/configs/rcig.py:data=cifar10,ipc=1 \\
    --workdir=runs/rcig --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure(
    "rcig", convnet={"name": "frepo_convnet", "norm": "none"}
)
