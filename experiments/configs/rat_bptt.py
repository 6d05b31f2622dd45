"""RaT-BPTT (arXiv 2311.07025); options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/rat_bptt.py:data=mnist,learn_labels \\
    --workdir=runs/rat_bptt --data_dir=DATA
"""

from configs.common import configure

get_config = configure("rat_bptt")
