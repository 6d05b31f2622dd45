"""Small sets under attack, poisoned, calibrated, and for the same seconds.

Attacks and calibration of BEARD (Zhou et al., 2024, arXiv 2411.09265), bounded
in pixels; the trigger of Liu et al. (2023, arXiv 2301.01197); all real data for
the samples and the seconds that training on a set takes.

  python experiments/apply.py \\
    --config=experiments/configs/applications/robustness.py:per_class=10 \\
    --workdir=runs/robustness_mnist_10

Eight makers. With the methods' default settings most of the time goes to
distilling with dc, dsa and idc, each twice: on clean and on poisoned images.
`data=cifar10` takes the same options. Fields: `--config.settings.makers`,
`.poison`, `.eps`, `.num_networks`, and those of the harness.
"""

from configs.applications.common import configure

get_config = configure(
    "robustness",
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
