"""DSA and DM, weighted.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid.py:data=fashion_mnist,ipc=10 \\
    --workdir=runs/hybrid --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("hybrid")
