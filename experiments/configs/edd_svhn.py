"""EDD on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd_svhn.py:ipc=20 \\
    --workdir=runs/edd_svhn_20
"""

from configs.matching import matching

get_config = matching("edd", "svhn")
