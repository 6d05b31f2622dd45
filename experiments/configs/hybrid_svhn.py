"""DSA and DM together on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_svhn.py:ipc=10 \\
    --workdir=runs/hybrid_svhn_10
"""

from configs.matching import matching

get_config = matching("hybrid", "svhn")
