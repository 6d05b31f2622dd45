"""IDC (arXiv 2205.14959); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc.py:data=mnist,ipc=10 \\
    --workdir=runs/idc --data_dir=DATA
"""

from configs.common import configure

# Images of 8 x 8 pixels are too small to be stored at a lower resolution.
get_config = configure("idc", usual={"digits": "parameterization.name=pixels"})
