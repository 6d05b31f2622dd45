"""DSA and DM together on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/hybrid_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/hybrid_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("hybrid", "tiny_imagenet")
