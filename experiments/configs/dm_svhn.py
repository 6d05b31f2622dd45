"""DM on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dm_svhn.py:ipc=10 \\
    --workdir=runs/dm_svhn_10
"""

from configs.matching import matching

get_config = matching("dm", "svhn")
