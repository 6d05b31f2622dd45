"""Robustness of small sets: attacks, poison, calibration, and budgets.

Attacks and calibration as in BEARD (Zhou et al., 2024, arXiv 2411.09265), but
bounded in pixels; the trigger of Liu et al. (2023, arXiv 2301.01197); training
on all real data for the samples and the seconds that training on a set takes.

  python experiments/apply.py \\
    --config=experiments/configs/applications/robustness.py:per_class=10 \\
    --workdir=runs/robustness_mnist_10

Six methods and random real samples. Each method distils twice, from clean and
from poisoned images, and is therefore run for an eighth to a third of its usual
number of steps.
`data=cifar10` takes the same options. With one sample a class and
`num_attacked=300` a data set took half an hour to three quarters of one core.
"""

from configs.applications.common import configure

_STEPS = dict(dm=300, dc=100, dsa=100, idc=100, frepo=300, ncfm=100)

get_config = configure(
    "robustness",
    makers=[
        "random_real",
        *(dict(name=name, num_steps=steps) for name, steps in _STEPS.items())
    ],
    network=dict(name="convnet", depth=3, width=32),
    num_networks=3,
    quick=dict(
        makers=[
            "random_real", {
                "name": "dm",
                "num_steps": 100,
                "batch_size": 64,
                "strategy": ""
            }
        ],
        network={
            "name": "mlp",
            "widths": [64]
        },
        recipe={
            "name": "dc",
            "num_epochs": 100
        },
        per_class=10,
        num_networks=2,
        num_attacked=100,
        poison=[0.02]))
