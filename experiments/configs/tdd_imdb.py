"""TDD on IMDB, two classes, TextConvNet; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tdd_imdb.py:random \\
    --data_dir=DATA --workdir=runs/tdd_imdb
"""

from configs.text import tdd

get_config = tdd("imdb", network="text_convnet", samples=2, steps=1, epochs=1)
