"""Rows of matching: few outer steps on two cores, and many elsewhere.

On two cores: ConvNet of width 32. Settings were chosen on a validation split of
MNIST at ten samples a class; DC and the hybrid as DSA, CAFE without a search.
"""

from configs.data_sets import DATA_SETS
from row import Row, distilled, field

SMALL = "width32"
_PIXELS = "width=32,start={},parameterization.name=pixels,recipe=dsa"
_COMMON = {
    "optimizer": "adam", "schedule": "cosine", "recipe.num_epochs": 300,
}
_GRADIENTS = {
    "batch_size": 64, "num_steps": 600, "learning_rate": 0.02,
    "epochs_between": 5,
}
_SHORT = {
    "dc": _GRADIENTS,
    "dsa": _GRADIENTS,
    "hybrid": _GRADIENTS,
    "dm": {"batch_size": 64, "num_steps": 1500, "learning_rate": 0.02},
    "ncfm": {
        "batch_size": 128, "num_steps": 600, "learning_rate": 0.01,
        "pool.num_networks": 3, "pool.num_epochs": 2,
    },
    "cafe": {
        "batch_size": 32, "num_steps": 300, "learning_rate": 0.02,
        "watched": 16, "max_epochs": 10,
    },
    "idc": {
        "batch_size": 64, "num_steps": 800, "learning_rate": 0.03,
        "batches_between": 2,
    },
}
# EDD is to move IDC's images as far as IDC does, a mean norm of 8.5; with two
# segments a rate of 0.03 gave 9.0.
_SHORT["edd"] = _SHORT["idc"] | {"learning_rate": 0.026}
# Where gradient matching aims at its published accuracy: five epochs of ten
# times the published rate for its fifty.
_LONGER = {
    (method, "mnist", 10): {"num_steps": 2500, "network_step_size": 0.1}
    for method in ("dc", "dsa")
}
# Accuracy in percent on MNIST and Fashion-MNIST, 1 and 10 per class, width 128.
_PUBLISHED = {
    "dc": (91.7, 97.4, 70.5, 82.3), "dsa": (88.7, 97.8, 70.6, 84.6),
    "dm": (89.7, 97.5, None, None), "cafe": (93.1, 97.2, 77.1, 83.0),
    "ncfm": (None,) * 4, "idc": (88.9, 98.0, 70.7, 85.3),
}
# At full width and length: method, data, per class.
_FULL = {
    ("dc", "cifar10", 1): 28.3,
    ("dm", "cifar10", 10): 48.9,
    ("dc", "cifar10", 10): 44.9,
    ("dsa", "cifar10", 10): 52.1,
    ("dm", "cifar10", 50): 63.0,
    ("dc", "mnist", 1): 91.7,
    ("dc", "mnist", 10): 97.4,
    ("dsa", "mnist", 10): 97.8,
    ("dm", "mnist", 10): 97.5,
}
# Trajectories, with fewer experts and steps than published: method and data,
# samples per class, options, fields.
_FULL_TRAJECTORIES = {
    ("mtt", "cifar10", 1): (46.3, ",experts.num=50", {
        "experts.num_epochs": 4, "num_steps": 3_000,
    }),
    ("datm", "mnist", 10): (None, ",experts.num=20", {
        "experts.num_epochs": 30, "num_steps": 3_000,
    }),
}
FEW_NETWORKS = {
    "evaluation.num_networks": 5, "evaluation.networks_per_set": 1,
}
# Trajectories on two cores: what rows of both methods share, and their own.
_FOLLOW = {
    "experts.num_epochs": 8, "recipe.num_epochs": 100,
    "segment.span": 1, "segment.lowest": 1, "segment.highest": 4,
    "student.num_steps": 10, "student.batch_size": 0, "step_size": 0.02,
    "step_size_learning_rate": 1e-5, "learning_rate": 300,
    "schedule": "cosine", "num_steps": 100,
    "evaluation.baselines": "random_real",
}
_FOLLOWS = {
    "mtt": {"segment.first": 4},
    "datm": {
        "segment.first": 3, "segment.until": 50, "skip_above": 2,
        "label_learning_rate": 0.2,
        "experts.radius": 0, "experts.surrogate_gap": 0,
    },
}
# Networks that a set is tried on, and whether that takes an accelerator.
_TARGETS = {
    "transfer": ("convnet,mlp,lenet", False),
    "transfer_deep": ("resnet10,alexnet,vgg11,resnet18", True),
}
# What is compared on the same networks: a row, and what it is to surpass.
PAIRS = tuple((f"{SMALL}_{one}", f"{SMALL}_{other}") for one, other in (
    ("hybrid_fashion_mnist_10", "dsa_fashion_mnist_10"),
    ("hybrid_fashion_mnist_10", "dm_fashion_mnist_10_part"),
    ("edd_fashion_mnist_20", "idc_fashion_mnist_20"),
    ("edd_fashion_mnist_20", "edd_fashion_mnist_20_free"),
    ("edd_fashion_mnist_20_free", "idc_fashion_mnist_20"),
    ("edd_fashion_mnist_20_five", "idc_fashion_mnist_20"),
    *((f"{name}_mnist_10", f"{name}_mnist_10_noise")
      for name in ("dc", "dsa", "idc")),
))
# Points of few networks each: methods by size, parameterizations by bytes.
POINTS = _COMMON | {
    "batch_size": 64, "num_steps": 400, "learning_rate": 0.02, **FEW_NETWORKS,
}


def small() -> dict[str, Row]:
  """Every method on two data sets at two sizes; what is compared or drawn."""
  rows = {}
  for column, (data, ipc) in enumerate(
      (d, n) for d in ("mnist", "fashion_mnist") for n in (1, 10)
  ):
    for method, published in _PUBLISHED.items():
      rows[f"{SMALL}_{method}_{data}_{ipc}"] = _small(
          method, data, ipc, published[column]
      )
  for method in ("dc", "dsa", "idc"):
    name = f"{SMALL}_{method}_mnist_10"
    rows[f"{name}_noise"] = _small(method, "mnist", 10, start="noise")
  rows[f"{SMALL}_dsa_mnist_10_long"] = _evaluation(
      f"{SMALL}_dsa_mnist_10", "mnist", 1_000, "--baselines=random_real",
      "--num_networks=20", "--num_sets=5", "--networks_per_set=4",
  )
  for ending, (targets, accelerator) in _TARGETS.items():
    rows[f"{SMALL}_dsa_mnist_10_{ending}"] = _evaluation(
        f"{SMALL}_dsa_mnist_10", "mnist", 300, f"--networks={targets}",
        "--num_networks=3", accelerator=accelerator,
    )
  # Measured first; _LONGER took another rate of the network after it.
  rows[f"{SMALL}_dsa_mnist_10_rate01"] = _small(
      "dsa", "mnist", 10, network_step_size=0.01
  )
  # A hybrid and, with its steps, its parts (DSA above is one as it is).
  rows[f"{SMALL}_hybrid_fashion_mnist_10"] = _small(
      "hybrid", "fashion_mnist", 10
  )
  rows[f"{SMALL}_dm_fashion_mnist_10_part"] = _small(
      "dm", "fashion_mnist", 10, num_steps=600
  )
  for data in ("mnist", "fashion_mnist"):
    for method, ending, start in (
        ("mtt", "", "real"), ("datm", "", "correct"), ("datm", "_real", "real"),
    ):
      rows[f"{SMALL}_{method}_{data}_10{ending}"] = distilled(
          f"{SMALL}_trajectories",
          f"{method}:data={data},ipc=10,width=32,experts.num=5,start={start},"
          "recipe=mtt",
          _FOLLOW | _FOLLOWS[method],
      )
  # Segments against the whole, from the same images.
  baselines = {"evaluation.baselines": "random_real"}
  for name, method, more in (
      ("idc_fashion_mnist_20", "idc", {}),
      ("edd_fashion_mnist_20", "edd", {"segments.num": 2}),
      ("edd_fashion_mnist_20_free", "edd",
       {"segments.num": 2, "segments.anchor_weight": 0}),
      # Measured first, at a rate that was guessed.
      ("edd_fashion_mnist_20_five", "edd", {"learning_rate": 0.043}),
  ):
    rows[f"{SMALL}_{name}"] = _small(
        method, "fashion_mnist", 20, **baselines, **more
    )
  rows["tsne_fashion_mnist_20"] = Row(
      "embeddings", ("--data=idx:fashion_mnist",), program="embed",
      sets={"IDC": f"{SMALL}_idc_fashion_mnist_20",
            "EDD": f"{SMALL}_edd_fashion_mnist_20"},
  )
  return rows


def sweeps() -> dict[str, Row]:
  """Accuracy against samples and against bytes, of short runs."""
  stored = "pixels,multi_formation,linear_bases,hallucinator"
  more = {
      "samples": (
          "--methods=dsa,dm", "--ipc=1,2,5,10,20",
          f"--options={_PIXELS.format('real')}",
          "--set=evaluation.baselines=random_real",
          f"--set=dsa:method.epochs_between={_GRADIENTS['epochs_between']}",
      ),
      "bytes": (
          "--methods=dm", "--ipc=1,2,5", f"--parameterizations={stored}",
          "--options=width=32,start=real,recipe=dsa",
          "--set=evaluation.baselines=byte_matched_real",
      ),
  }
  shared = tuple(f"--set={field(name)}={v}" for name, v in POINTS.items())
  return {
      f"sweep_{against}": Row("sweeps", (
          "--dataset=fashion_mnist", f"--against={against}", *shared,
          *arguments,
      ), program="sweep") for against, arguments in more.items()
  }


def full() -> dict[str, Row]:
  """At full width, meant for an accelerator."""
  rows = {key: (value, "", {}) for key, value in _FULL.items()}
  return full_rows(rows | _FULL_TRAJECTORIES)


def full_rows(known) -> dict[str, Row]:
  """Rows of `{(method, data, ipc): (published, more options, fields)}`."""
  return {
      f"{method}_{data}_{ipc}": distilled(
          f"{method}_{data}", f"{method}:data={data},ipc={ipc}{more}",
          fields | FEW_NETWORKS, published, accelerator=True,
      ) for (method, data, ipc), (published, more, fields) in known.items()
  }


def _small(
    method: str, data: str, ipc: int, published=None, start="real", **more
) -> Row:
  """A row of a matching method on two cores, on pixels.

  Args:
    method: whose configuration, with its settings for that data and size.
    data: name of the data set.
    ipc: samples per class.
    published: accuracy at width 128, in percent.
    start: of the samples.
    **more: fields, in place of those of the method.
  """
  longer = _LONGER.get((method, data, ipc), {})
  return distilled(
      f"{SMALL}_{data}",
      f"{method}:data={data},ipc={ipc},{_PIXELS.format(start)}",
      _COMMON | _SHORT[method] | longer | more, published,
  )


def _evaluation(
    of: str, data: str, num_epochs: int, *arguments: str, accelerator=False
) -> Row:
  """A row that evaluates the set of another one of these.

  Args:
    of: that row.
    data: its data set.
    num_epochs: of recipe `dsa`.
    *arguments: further ones of `evaluate.py`.
    accelerator: as of `Row`.
  """
  strategy = DATA_SETS[data].traits.strategy
  return Row(
      f"{SMALL}_{data}",
      (f"--data={DATA_SETS[data].spec}",
       f"--recipe=dsa:num_epochs={num_epochs},strategy={strategy}", *arguments),
      accelerator=accelerator, program="evaluate", sets={"artifact": of},
  )
