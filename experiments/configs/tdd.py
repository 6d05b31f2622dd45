"""TDD (arXiv 1910.02551, section 5): SLDD on sentences of word vectors.

  python experiments/distill.py \\
    --config=experiments/configs/tdd.py:data=trec6,fixed,epochs=2 \\
    --workdir=runs/tdd --data_dir=DATA

Options: `configs/common.py`.
"""

from configs.common import configure

get_config = configure(
    "tdd",
    data="trec6",
    ipc=1,
    usual={
        "trec6": "epochs=2",
        "trec50": "ipc=20,steps=5,start=noise",
        "tweets": "epochs=5"
    })
