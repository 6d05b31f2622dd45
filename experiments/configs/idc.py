"""IDC (arXiv 2205.14959); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc.py:data=mnist,ipc=10 \\
    --workdir=runs/idc --data_dir=DATA
"""

from configs.common import configure

# Eight pixels leave nothing to store smaller.
get_config = configure("idc", usual={"digits": "parameterization.name=pixels"})
