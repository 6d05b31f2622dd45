"""SRe2L (arXiv 2306.13092); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/sre2l.py:data=cifar10,ipc=10 \\
    --workdir=runs/sre2l --data_dir=DATA
"""

from configs.common import configure

get_config = configure("sre2l", convnet=dict(norm="batch"))
