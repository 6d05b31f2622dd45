"""Rows of kernels, of features and of long unrolls."""

from row import Row, distilled
from rows_matching import full_rows

GROUP = "performance"
# LeNet on 100 images: a recipe of 300 updates, chosen on a validation split.
_LENET = {
    "schedule": "cosine",
    "recipe.num_steps": 300, "recipe.step_size": 0.005, "recipe.warm_up": 30,
    "recipe.target_scale": 5.0, "recipe.strategy": "crop_scale_rotate",
    "evaluation.num_networks": 200, "evaluation.networks_per_set": 10,
    "evaluation.baselines": "random_real",
}


def rows() -> dict[str, Row]:
  """On two cores."""
  found = {}
  for method, size, published in (
      ("kip", 100, 46.7), ("label_solve", 500, 47.0),
  ):
    for seed in range(3):
      found[f"{method}_cifar10_fc1_{size}_seed{seed}"] = distilled(
          GROUP, f"{method}:data=cifar10,rows={size}", {"seed": seed}, published
      )
  for size in (10, 100, 500):
    found[f"kip_cifar10_fc1_{size}_learned"] = distilled(
        GROUP, f"kip:data=cifar10,rows={size},learn_labels", {
            "strategy": "crop_flip_rotate", "num_steps": 3_000,
            "schedule": "cosine",
        },
    )
  found["kip_mnist_conv3_10"] = distilled(
      GROUP, "kip:data=mnist,network=conv3,rows=10,learn_labels",
      {"batch_size": 50, "num_steps": 600, "log_every": 10},
  )
  found["rfad_mnist_lenet_100"] = distilled(
      GROUP, "rfad:data=mnist,ipc=10,network=lenet,features=convnet,width=32", {
          "num_initialisations": 4, "batch_size": 1_024,
          "learning_rate": 0.02, "label_learning_rate": 0.01,
          "num_steps": 3_000, **_LENET,
      },
  )
  found["rat_bptt_mnist_lenet_100"] = distilled(
      GROUP, "rat_bptt:data=mnist,ipc=10,network=lenet,learn_labels,regression",
      {
          "student.window": 20, "student.num_steps": 150,
          "student.step_size": 0.005, "student.target_scale": 5.0,
          "student.augment_real": False, "strategy": "crop_scale_rotate",
          "batch_size": 512, "learning_rate": 0.01,
          "label_learning_rate": 0.002, "num_steps": 1_000, **_LENET,
      },
      sets={"method.start": "rfad_mnist_lenet_100"},
  )
  return found


def full() -> dict[str, Row]:
  """FRePo at full width, 25,000 of 500,000 steps."""
  return full_rows({
      ("frepo", data, ipc): (published, "", {"num_steps": 25_000})
      for data, ipc, published in (
          ("mnist", 1, 93.0), ("mnist", 10, 98.6), ("cifar10", 1, 46.8)
      )
  })
