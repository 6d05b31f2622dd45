"""One-shot federated learning (FedD3, arXiv 2208.11311); options: common.py.

  python experiments/apply.py \\
    --config=experiments/configs/applications/federated.py:num_clients=100,\
classes_per_client=2 --workdir=runs/federated --data_dir=DATA

Clients by KIP as published (with a fixed number of steps), k-means and random
real images; LeNet on the server. `quick` with `data=digits` takes about a
minute on two cores; sets of 100 clients by KIP, ten samples a class, took 24
minutes of two busy cores.
"""

from configs.applications.common import configure

_KERNEL = dict(name="kernel_ridge", kernel="fully_connected", depth=4)
_KIP = dict(
    name="kip", num_steps=3_000, batch_size=1, learning_rate=0.004, ridge=1e-6)
_QUICK_KIP = {**_KIP, "num_steps": 100}

get_config = configure(
    "federated",
    float64=True,
    makers=[dict(method=_KIP, network=_KERNEL), "kmeans", "random_real"],
    network=dict(name="lenet"),
    quick=dict(
        num_clients=4,
        makers=[
            dict(method=_QUICK_KIP, network=_KERNEL), "kmeans", "random_real"
        ],
        network=None,
        recipe=dict(name="adam", num_epochs=50),
        num_networks=2,
        rounds=[1, 2]))
