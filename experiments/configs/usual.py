"""The method that `dd.methods.usual` names for the kind of data.

This is what `distill.py --data=SPEC` runs; with other options:

  python experiments/distill.py --data=SPEC --workdir=runs/mine \\
    --config=experiments/configs/usual.py:ipc=1

Options: `common.py`. Fields of the method are those of DM; other methods take
their place once the data are read.
"""

from configs.common import configure

get_config = configure("dm")
