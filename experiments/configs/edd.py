"""EDD: IDC in exclusive segments (an anonymous draft); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd.py:data=mnist,ipc=20,segments.num=2 \\
    --workdir=runs/edd --data_dir=DATA
"""

from configs.common import configure

# Eight pixels leave nothing to store smaller.
get_config = configure("edd", usual={"digits": "parameterization.name=pixels"})
