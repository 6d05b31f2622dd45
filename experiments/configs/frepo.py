"""FRePo (arXiv 2206.00719); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/frepo.py:data=mnist,ipc=1 \\
    --workdir=runs/frepo --data_dir=DATA
"""

from configs.common import configure

get_config = configure("frepo", convnet=dict(name="frepo_convnet", norm="none"))
