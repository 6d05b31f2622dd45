"""TDD on TREC, fifty fine classes, TextConvNet; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tdd_trec50.py:random \\
    --data_dir=DATA --workdir=runs/tdd_trec50
"""

from configs.text import tdd

get_config = tdd(
    "trec50", network="text_convnet", samples=1000, steps=5, epochs=1
)
