"""NCFM on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_svhn.py:ipc=10 \\
    --workdir=runs/ncfm_svhn_10
"""

from configs.matching import matching

get_config = matching("ncfm", "svhn")
