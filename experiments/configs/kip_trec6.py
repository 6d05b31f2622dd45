"""KIP on averaged word vectors of TREC6; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/kip_trec6.py --data_dir=DATA \\
    --workdir=runs/kip_trec6
"""

from configs.text import kernel

get_config = kernel("trec6")
