"""DD (arXiv 1811.10959, section 4): labels stay one-hot.

  python experiments/distill.py \\
    --config=experiments/configs/dd.py:data=mnist,fixed,rows=100 \\
    --workdir=runs/dd --data_dir=DATA

Options: `configs/common.py`.

Published, MNIST, LeNet: fixed initialisation 96.6 (100 images), about 94 (10);
random 79.5. CIFAR-10, AlexCifarNet, 100 images: fixed 54.0, random 36.8. Real
batches are not augmented here; in the published code those of CIFAR-10 are.
"""

from configs.common import configure

get_config = configure(
    "dd",
    usual={"digits": "ipc=1"},
    students={
        "mnist": "lenet",
        "fashion_mnist": "lenet",
        "cifar10": "alex_cifar_net"
    })
