"""A membership audit of distilled sets, and sets with differential privacy.

Dong, Zhao & Lyu, "Privacy for Free: How does Dataset Condensation Help
Privacy?", 2022, arXiv 2206.00240; Carlini, Feldman & Nasr, "No Free Lunch in
'Privacy for Free'", 2022, arXiv 2209.14987.

  python experiments/apply.py --workdir=DIR \\
    --config=experiments/configs/applications/privacy.py[:num_pipelines=64]

2,000 candidates of MNIST and 16 pipelines of each of ten arms. With 1,000
candidates and sets by 200 steps of DM a pipeline took 10 to 25 seconds of one
core; those of DP-SGD take longer. `num_pipelines=64` is for claims. The arms
with differential privacy need the extra `privacy`; without it set
`--config.settings.epsilons="()"`. `quick` leaves them out.
"""

from configs.applications.common import configure

get_config = configure(
    "privacy",
    quick=dict(
        arms=[
            "all_real", "random_real",
            dict(name="dm", start="noise", num_steps=100, batch_size=16),
            dict(name="dm", start="real", num_steps=100, batch_size=16)
        ],
        num_candidates=200,
        num_pipelines=6,
        per_class=2,
        num_canaries=10,
        network=dict(name="mlp", widths=[64]),
        recipe=dict(name="converged", num_steps=200, batch_size=64),
        early_steps=[],
        epsilons=[]))
