"""EDD: IDC in exclusive segments (an anonymous draft); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd.py:data=mnist,ipc=20,segments.num=2 \\
    --workdir=runs/edd --data_dir=DATA
"""

from configs.common import configure

# Images of 8 x 8 pixels are too small to be stored at a lower resolution.
get_config = configure("edd", usual={"digits": "parameterization.name=pixels"})
