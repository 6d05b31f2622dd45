"""DC on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_svhn.py:ipc=10 \\
    --workdir=runs/dc_svhn_10
"""

from configs.matching import matching

get_config = matching("dc", "svhn")
