"""NCFM on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/ncfm_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/ncfm_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("ncfm", "tiny_imagenet")
