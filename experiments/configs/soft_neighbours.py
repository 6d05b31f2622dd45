"""Soft-label nearest neighbours; options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/soft_neighbours.py:data=table \\
    --workdir=runs/soft_neighbours --data="csv:FILE?label=COLUMN&test=0.2"
"""

from configs.common import configure

get_config = configure("soft_neighbours")
