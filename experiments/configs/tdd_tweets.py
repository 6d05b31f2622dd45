"""TDD on tweets on airlines, three classes; options in `configs/text.py`.

  python experiments/distill.py \\
    --config=experiments/configs/tdd_tweets.py:random \\
    --data_dir=DATA --workdir=runs/tdd_tweets
"""

from configs.text import tdd

get_config = tdd("tweets", network="text_convnet", samples=3, steps=1, epochs=5)
