"""DC on Tiny-ImageNet; options in `configs/matching.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_tiny_imagenet.py:ipc=10 \\
    --workdir=runs/dc_tiny_imagenet_10
"""

from configs.matching import matching

get_config = matching("dc", "tiny_imagenet")
