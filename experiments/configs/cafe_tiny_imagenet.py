"""CAFE on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/cafe_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/cafe_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("cafe", "tiny_imagenet")
