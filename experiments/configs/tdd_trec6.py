"""TDD on TREC, six coarse classes, Bi-LSTM; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tdd_trec6.py:random \\
    --data_dir=DATA --workdir=runs/tdd_trec6
"""

from configs.text import tdd

get_config = tdd("trec6", network="bi_lstm", samples=6, steps=1, epochs=2)
