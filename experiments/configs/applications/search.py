"""Ranks networks and recipes on small sets and on all data.

Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020, arXiv
2006.05929, section 4.3, train a grid of 720 ConvNets. Here 48 small ones are
trained; `space=convnets_720,num_candidates=720` is their grid.

  python experiments/apply.py \\
    --config=experiments/configs/applications/search.py --workdir=runs/search
  ... search.py:space=step_sizes,num_candidates=12   the learning rate

"""

from configs.applications.common import configure

get_config = configure(
    "search",
    data="fashion_mnist",
    validation_fraction=0.1,
    arms=[
        "random_real", "class_mean",
        dict(name="dm", num_steps=300), "early_stopping", "byte_matched_real"
    ],
    network=dict(name="convnet", depth=2, width=32),
    quick=dict(
        num_candidates=4,
        arms=[
            "random_real", "class_mean",
            dict(name="dm", num_steps=30), "early_stopping", "byte_matched_real"
        ],
        per_class=2,
        recipe=dict(
            name="rat_bptt",
            num_steps=40,
            batch_size=20,
            step_size=0.005,
            last_rate=0.0),
        network=dict(name="convnet", depth=2, width=8),
        num_truth_samples=500,
        truth_epochs=3))
