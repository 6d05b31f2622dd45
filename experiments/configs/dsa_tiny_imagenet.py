"""DSA on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dsa_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/dsa_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("dsa", "tiny_imagenet")
