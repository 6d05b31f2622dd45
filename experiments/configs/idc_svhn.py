"""IDC on SVHN; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/idc_svhn.py:ipc=10 \\
    --workdir=runs/idc_svhn_10
"""

from configs.matching import matching

get_config = matching("idc", "svhn")
