"""CAFE on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cafe_svhn.py:ipc=10 \\
    --workdir=runs/cafe_svhn_10
"""

from configs.matching import matching

get_config = matching("cafe", "svhn")
