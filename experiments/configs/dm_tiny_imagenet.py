"""DM on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dm_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/dm_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("dm", "tiny_imagenet")
