"""RFAD (arXiv 2210.12067); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rfad.py:data=mnist,network=lenet \\
    --workdir=runs/rfad --data_dir=DATA
"""

from configs.common import configure

get_config = configure(
    "rfad",
    convnet={
        "norm": "none",
        "initialisation": "he_normal",
        "width": 256
    })
