"""RFAD (arXiv 2210.12067).

  python experiments/distill.py \\
    --config=experiments/configs/rfad.py:data=mnist,network=lenet \\
    --workdir=runs/rfad --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure("rfad", convnet={
    "norm": "none", "initialisation": "he_normal", "width": 256
})
