"""DC on TREC6; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/dc_trec6.py --data_dir=DATA \\
    --workdir=runs/dc_trec6
"""

from configs.text import matching

get_config = matching("dc", "trec6")
