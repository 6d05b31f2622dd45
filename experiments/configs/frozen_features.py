"""Frozen features, in closed form; for a table, or features of your own.

  python experiments/distill.py \\
    --config=experiments/configs/frozen_features.py:data=table \\
    --workdir=runs/frozen_features --data="csv:FILE?label=COLUMN&test=0.2"

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("frozen_features", data="table", ipc=1)
