"""TGDD (arXiv 2512.02469), and DANCE by `between=mix`; options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tgdd.py:data=cifar10,ipc=10 \\
    --workdir=runs/tgdd --data_dir=DATA
"""

from configs.common import configure

get_config = configure("tgdd")
