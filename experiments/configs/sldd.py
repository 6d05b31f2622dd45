"""SLDD (arXiv 1910.02551, section 4): labels are learned too.

On the digits that scikit-learn carries this is the quickstart.

  python experiments/distill.py \\
    --config=experiments/configs/sldd.py:data=mnist,fixed,rows=10,steps=1 \\
    --workdir=runs/sldd --data_dir=DATA

Options: `configs/common.py`.

Published, MNIST, LeNet: fixed initialisation 96.13 (10 images), 91.56 (5), 98.6
(100); random 82.7. CIFAR-10, AlexCifarNet, 100 images: 60.0 and 39.8.
"""

from configs.common import configure

get_config = configure(
    "sldd",
    usual={
        "digits": "ipc=1",
        "table": "rows=10,epochs=10,batch_size=64"
    },
    students={
        "mnist": "lenet",
        "fashion_mnist": "lenet",
        "cifar10": "alex_cifar_net"
    })
