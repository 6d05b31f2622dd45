"""DSA and DM, weighted; options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid.py:data=fashion_mnist,ipc=10 \\
    --workdir=runs/hybrid --data_dir=DATA
"""

from configs.common import configure

get_config = configure("hybrid")
