"""Continual learning with a condensed memory, by the protocol of GDumb.

Zhao & Bilen, "Dataset Condensation with Distribution Matching", 2021, arXiv
2110.04181; here 5 tasks of 2 classes of MNIST, 5 orders, 3 networks, at 1 and
10 samples a class.

    python experiments/apply.py --workdir=runs/continual \\
      --config=experiments/configs/applications/continual.py

  scenario=domain     the data rotated by 0, 30, 60 and 90 degrees
  learner=kd          rehearsal with the present data and old outputs; also
                      union
  data=fashion_mnist  or cifar10
  --config.settings.per_class="(1,)"   only one sample a class
  num_tasks=5, num_orders=5, num_networks=3, preprocessing=given, ...

See docs/applications.md.
"""

from configs.applications.common import configure

get_config = configure(
    "continual",
    makers=[
        "random_real", "herding", "kcentre",
        dict(name="dm", num_steps=300),
        dict(name="idc", num_steps=100)
    ],
    networks=[dict(name="convnet", depth=3, width=32)],
    joint_steps=1_000,
    quick=dict(
        makers=["random_real", {
            "name": "dm",
            "num_steps": 50
        }],
        per_class=[1],
        num_tasks=2,
        num_orders=2,
        num_networks=2,
        recipe={
            "name": "dsa",
            "num_epochs": 60,
            "strategy": ""
        },
        joint_steps=100,
        fine_tune_steps=20))
