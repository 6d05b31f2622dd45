"""DC (arXiv 2006.05929); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc.py:data=mnist,ipc=10 \\
    --workdir=runs/dc --data_dir=DATA
"""

from configs.common import configure

get_config = configure("dc")
