"""DSA on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa_svhn.py:ipc=10 \\
    --workdir=runs/dsa_svhn_10
"""

from configs.matching import matching

get_config = matching("dsa", "svhn")
