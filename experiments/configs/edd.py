"""EDD: IDC in exclusive segments (an anonymous draft).

  python experiments/distill.py \\
    --config=experiments/configs/edd.py:data=mnist,ipc=20,segments.num=2 \\
    --workdir=runs/edd --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("edd")
