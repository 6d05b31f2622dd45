"""EDD on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/edd_tiny_imagenet.py:ipc=20 \\
    --workdir=runs/edd_tiny_imagenet_20
"""

from configs.matching import matching

get_config = matching("edd", "tiny_imagenet")
