"""IDC (arXiv 2205.14959).

  python experiments/distill.py \\
    --config=experiments/configs/idc.py:data=mnist,ipc=10 \\
    --workdir=runs/idc --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("idc")
