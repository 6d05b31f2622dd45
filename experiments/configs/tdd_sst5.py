"""TDD on the Stanford Sentiment Treebank (SST-5); options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tdd_sst5.py:random \\
    --data_dir=DATA --workdir=runs/tdd_sst5
"""

from configs.text import tdd

get_config = tdd("sst5", network="bi_rnn", samples=5, steps=1, epochs=1)
