"""The rows of docs/results.md: what is measured, by which command."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from configs.datasets import DATASETS

from distill_jax.errors import ConfigError


class Row(NamedTuple):
  """Attributes:
    group: the file below docs/results.
    arguments: of its program, without places of files.
    published: accuracy in percent, or None.
    accelerator: whether it is meant for one.
    program: the launcher, of `launched.PROGRAMS`.
    sets: the rows whose sets it takes, by what it calls them.
  """

  group: str
  arguments: tuple[str, ...]
  published: float | None = None
  accelerator: bool = False
  program: str = "distill"
  sets: Mapping[str, str] = MappingProxyType({})


# Figure 6 of arXiv 1910.02551, at a thirtieth of the outer steps.
SIZES = (1, 2, 3, 5, 10, 20, 50, 100)

# Published accuracy in percent, in the order of their worth.
ACCELERATOR = {
    "sldd_mnist_fixed_100": 98.6,
    "dd_mnist_fixed_100": 96.6,
    "dd_mnist_fixed_10": 93.76,
    "dd_mnist_random_100": 79.5,
    "sldd_cifar10_fixed_100": 60.0,
    "sldd_cifar10_random_100": 39.8,
    "dd_cifar10_fixed_100": 54.0,
    "dd_cifar10_random_100": 36.8,
}


# The same for matching, at full width and length: method, data, per class.
MATCHING = {
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
TRAJECTORIES = {
    ("mtt", "cifar10", 1): (46.3, ",experts=50", {
        "experts.num_epochs": 4, "num_steps": 3_000,
    }),
    ("datm", "mnist", 10): (None, ",experts=20", {
        "experts.num_epochs": 30, "num_steps": 3_000,
    }),
}

# Matching on two cores: ConvNet of width 32, few outer steps. Chosen on a
# validation split of MNIST at ten samples a class; DC and the hybrid as DSA,
# CAFE without a search.
SMALL = "width32"
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
_LONGER = {"num_steps": 2500, "network_step_size": 0.1}
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
# Kernels and long unrolls on two cores: configuration, fields, published.
PERFORMANCE = "performance"
_KIP = {
    f"kip_cifar10_fc1_100_seed{seed}": (
        "kip_cifar10.py:images=100", {"seed": seed}, 46.7
    ) for seed in range(3)
} | {
    f"label_solve_cifar10_fc1_500_seed{seed}": (
        "label_solve_cifar10.py:images=500", {"seed": seed}, 47.0
    ) for seed in range(3)
} | {
    f"kip_cifar10_fc1_{images}_learned": (
        f"kip_cifar10.py:images={images},labels,augment",
        {"num_steps": 3_000, "schedule": "cosine"}, None,
    ) for images in (10, 100, 500)
} | {
    "kip_mnist_conv3_10": (
        "kip_mnist.py:kernel=conv3,images=10,labels",
        {"num_steps": 600, "log_every": 10}, None,
    ),
}
# LeNet on 100 images: a recipe of 300 updates, chosen on a validation split.
_LENET_RECIPE = {
    "recipe.num_steps": 300, "recipe.step_size": 0.005, "recipe.warm_up": 30,
    "recipe.target_scale": 5.0, "recipe.strategy": "crop_scale_rotate",
    "evaluation.num_networks": 200, "evaluation.networks_per_set": 10,
    "evaluation.baselines": "random_real",
}
_LENET = {
    "rfad_mnist_lenet_100": (
        "rfad_mnist.py:ipc=10,network=lenet,features=convnet,width=32", {
            "num_initialisations": 4, "batch_size": 1_024,
            "learning_rate": 0.02, "label_learning_rate": 0.01,
            "schedule": "cosine", "num_steps": 3_000, "checkpoint_every": 100,
            **_LENET_RECIPE,
        },
    ),
    "rat_bptt_mnist_lenet_100": (
        "rat_bptt_mnist.py:ipc=10,network=lenet,learn_labels,regression", {
            "student.window": 20, "student.num_steps": 150,
            "student.step_size": 0.005, "student.target_scale": 5.0,
            "student.augment_real": False,
            "augmentation.strategy": "crop_scale_rotate", "batch_size": 512,
            "learning_rate": 0.01, "label_learning_rate": 0.002,
            "schedule": "cosine", "num_steps": 1_000, "checkpoint_every": 100,
            **_LENET_RECIPE,
        },
    ),
}
# Whose set one of them goes on from.
_LENET_STARTS = {"rat_bptt_mnist_lenet_100": {"start": "rfad_mnist_lenet_100"}}
# Text distillation on one core: configuration, fields, published. Published
# accuracies are with GloVe's vectors.
TEXT = "text"
_RANDOM = {
    "evaluation.num_networks": 200, "evaluation.networks_per_set": 10,
    "evaluation.full_data": True,
}
_FIXED = {"evaluation.full_data": True}
_ALL = {"evaluation.baselines": "all"}
# Of 2,000 outer steps: a row is about an hour of one core at most.
_SHORTER = {"num_steps": 1_000}
# A network reads the test part of IMDB in a minute.
_FEW = {
    **_SHORTER,
    "evaluation.num_networks": 10, "evaluation.networks_per_set": 1,
    "evaluation.num_sets": 3, "evaluation.baselines": "random_real",
    "evaluation.full_data": True,
}
_TDD = {
    **{
        f"tdd_trec6_bi_lstm_fixed_6_seed{seed}": (
            "tdd_trec6.py:fixed", {"seed": seed, **_SHORTER, **_FIXED},
            87.4,
        ) for seed in range(3)
    },
    "tdd_trec6_bi_lstm_fixed_6_snap2": (
        "tdd_trec6.py:fixed,snap=2", {**_SHORTER, **_FIXED}, None,
    ),
    "tdd_trec6_bi_lstm_random_6": (
        "tdd_trec6.py:random", {**_SHORTER, **_RANDOM}, 62.0,
    ),
    "tdd_trec6_text_convnet_fixed_60": (
        "tdd_trec6.py:fixed,network=text_convnet,samples=60,steps=10,epochs=1",
        {**_FIXED, **_ALL}, 79.2,
    ),
    "tdd_trec6_text_convnet_random_60": (
        "tdd_trec6.py:random,network=text_convnet,samples=60,steps=10,epochs=1",
        {**_SHORTER, **_RANDOM, **_ALL}, 77.3,
    ),
    "tdd_sst5_text_convnet_fixed_50": (
        "tdd_sst5.py:fixed,network=text_convnet,samples=50,steps=10,epochs=1",
        _FIXED, 37.5,
    ),
    "tdd_sst5_text_convnet_random_50": (
        "tdd_sst5.py:random,network=text_convnet,samples=50,steps=10,epochs=1",
        _RANDOM, 36.3,
    ),
    "tdd_sst5_bi_rnn_fixed_5": ("tdd_sst5.py:fixed", _FIXED, 36.0),
    "tdd_tweets_text_convnet_random_3": (
        "tdd_tweets.py:random,samples=3,steps=1,epochs=5",
        {**_RANDOM, **_ALL}, None,
    ),
    "tdd_tweets_text_convnet_random_3_snap2": (
        "tdd_tweets.py:random,samples=3,steps=1,epochs=5,snap=2", _RANDOM, None,
    ),
    "tdd_tweets_text_convnet_random_30": (
        "tdd_tweets.py:random,samples=30,steps=10,epochs=1",
        # Baselines of as many bytes are all of its training texts.
        {**_RANDOM, **_ALL, "evaluation.networks_per_set": 3}, None,
    ),
    "tdd_trec50_text_convnet_fixed_1000": (
        "tdd_trec50.py:fixed", {**_SHORTER, **_FIXED}, 67.4,
    ),
    "tdd_trec50_text_convnet_random_1000": (
        "tdd_trec50.py:random", {**_SHORTER, **_RANDOM}, 42.1,
    ),
    "tdd_imdb_text_convnet_fixed_2": (
        "tdd_imdb.py:fixed,samples=2", _FIXED, 78.3,
    ),
    "tdd_imdb_text_convnet_random_2": (
        "tdd_imdb.py:random,samples=2", _FEW, 69.6,
    ),
    "tdd_imdb_text_convnet_random_20": (
        "tdd_imdb.py:random,samples=20,epochs=5", _FEW, 74.3,
    ),
    "dc_trec6_10": ("dc_trec6.py:ipc=10", {"evaluation.full_data": True}, None),
    "dm_trec6_10": ("dm_trec6.py:ipc=10", {"evaluation.full_data": True}, None),
    "kip_trec6_60": ("kip_trec6.py:samples=60,labels", {}, None),
}
# FRePo at full width, 25,000 of 500,000 steps: method and data, per class.
_FREPO = {
    ("frepo", "mnist", 1): (93.0, "", {"num_steps": 25_000}),
    ("frepo", "mnist", 10): (98.6, "", {"num_steps": 25_000}),
    ("frepo", "cifar10", 1): (46.8, "", {"num_steps": 25_000}),
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
    "batch_size": 64, "num_steps": 400, "learning_rate": 0.02,
    "evaluation.num_networks": 5, "evaluation.networks_per_set": 1,
}
_SWEEPS = {
    "samples": (
        "--methods=dsa,dm", "--dataset=fashion_mnist", "--ipc=1,2,5,10,20",
        "--options=width=32,init=real,parameterization=pixels,recipe=dsa",
        *(f"--set={name}={value}" for name, value in POINTS.items()),
        "--set=evaluation.baselines=random_real",
        f"--set=dsa:epochs_between={_GRADIENTS['epochs_between']}",
    ),
    "bytes": (
        "--methods=dm", "--dataset=fashion_mnist", "--ipc=1,2,5",
        "--against=bytes",
        "--parameterizations=pixels,multi_formation,linear_bases,hallucinator",
        "--options=width=32,init=real,recipe=dsa",
        *(f"--set={name}={value}" for name, value in POINTS.items()),
        "--set=evaluation.baselines=byte_matched_real",
    ),
}
_PUBLISHED = {  # MNIST and Fashion-MNIST, 1 and 10 per class, width 128
    "dc": (91.7, 97.4, 70.5, 82.3), "dsa": (88.7, 97.8, 70.6, 84.6),
    "dm": (89.7, 97.5, None, None), "cafe": (93.1, 97.2, 77.1, 83.0),
    "ncfm": (None,) * 4, "idc": (88.9, 98.0, 70.7, 85.3),
}


def table() -> dict[str, Row]:
  """Every row by name, in the page's order."""
  rows = {"sldd_digits": _distilled("digits", "sldd_digits.py")}
  for images, published in ((10, 96.13), (5, 91.56)):
    for seed in range(3):
      rows[f"sldd_mnist_fixed_{images}_seed{seed}"] = _distilled(
          "sldd_mnist",
          f"sldd_mnist.py:fixed,images={images},steps=1,epochs=3",
          {"seed": seed, "num_steps": 120000}, published,
      )
  for images in SIZES:
    steps = max(images // 10, 1)
    rows[f"sldd_mnist_sweep_{images}"] = _distilled(
        "sldd_mnist_sweep",
        f"sldd_mnist.py:fixed,images={images},steps={steps},epochs=3",
        {"num_steps": 2000, "evaluation.full_data": True},
    )
  rows["sldd_mnist_random_100"] = _distilled(
      "sldd_mnist", "sldd_mnist.py:random,images=100,steps=10,epochs=3", {
          "step_size_learning_rate": 0.002, "evaluation.num_networks": 200,
          "evaluation.networks_per_set": 1, "evaluation.baselines": "all",
          "evaluation.full_data": True,
      }, 82.7,
  )
  rows |= _small_rows()
  for name, (config, fields, published) in _KIP.items():
    rows[name] = _distilled(PERFORMANCE, config, fields, published)
  for name, (config, fields) in _LENET.items():
    sets = _LENET_STARTS.get(name, {})
    rows[name] = _distilled(PERFORMANCE, config, fields, sets=sets)
  for name, (config, fields, published) in _TDD.items():
    rows[name] = _distilled(TEXT, config, fields, published)
  for against, arguments in _SWEEPS.items():
    rows[f"sweep_{against}"] = Row("sweeps", arguments, program="sweep")
  for name, published in ACCELERATOR.items():
    method, data, init, images = name.split("_")
    steps = 1 if images == "10" else 10
    rows[name] = _distilled(
        f"{method}_{data}",
        f"{method}_{data}.py:{init},images={images},steps={steps},epochs=3",
        {"evaluation.num_networks": 200} if init == "random" else {},
        published, accelerator=True,
    )
  full = {name: (value, "", {}) for name, value in MATCHING.items()}
  for (method, data, ipc), (published, more, fields) in (
      full | TRAJECTORIES | _FREPO
  ).items():
    rows[f"{method}_{data}_{ipc}"] = _distilled(
        f"{method}_{data}", f"{method}_{data}.py:ipc={ipc}{more}",
        fields | {
            "evaluation.num_networks": 5, "evaluation.networks_per_set": 1,
        },
        published, accelerator=True,
    )
  return rows


def chosen(wanted: list[str], known: dict[str, Row]) -> list[str]:
  """The rows meant: by name, or all that begin so and go on with `_`."""
  names = []
  for text in wanted:
    begun = [n for n in known if n == text or n.startswith(f"{text}_")]
    if not begun:
      raise ConfigError(f"`--rows` must name rows of --list; got {text}.")
    names += [text] if text in known else begun
  return [name for name in known if name in names]


def _distilled(
    group: str, config: str, settings=MappingProxyType({}), published=None,
    **more,
) -> Row:
  """A row of `distill.py`.

  Args:
    group: as of `Row`, as are `published` and what more is given.
    config: FILE[:options] below experiments/configs.
    settings: fields of it.
  """
  settings = (f"--config.{name}={value}" for name, value in settings.items())
  return Row(
      group, (f"--config=experiments/configs/{config}", *settings), published,
      **more,
  )


def _small(
    method: str, data: str, ipc: int, published=None, init="real", **more
) -> Row:
  """A row of a matching method on two cores, on pixels.

  Args:
    method: whose configuration, with its settings for that data and size.
    data: name of the data set.
    ipc: samples per class.
    published: accuracy at width 128, in percent.
    init: of the samples.
    **more: fields, in place of those of the method.
  """
  options = f"ipc={ipc},width=32,init={init},parameterization=pixels,recipe=dsa"
  settings = _COMMON | _SHORT[method]
  if (data, ipc) == ("mnist", 10) and method in ("dc", "dsa"):
    settings |= _LONGER
  settings |= more
  return _distilled(
      f"{SMALL}_{data}", f"{method}_{data}.py:{options}", settings, published
  )


def _small_rows() -> dict[str, Row]:
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
    rows[f"{name}_noise"] = _small(method, "mnist", 10, init="noise")
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
    for method, ending, init in (
        ("mtt", "", "real"), ("datm", "", "correct"), ("datm", "_real", "real"),
    ):
      options = f"ipc=10,width=32,experts=5,init={init},recipe=mtt"
      rows[f"{SMALL}_{method}_{data}_10{ending}"] = _distilled(
          f"{SMALL}_trajectories", f"{method}_{data}.py:{options}",
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
  recipe = f"dsa:num_epochs={num_epochs},strategy={DATASETS[data].strategy}"
  return Row(
      f"{SMALL}_{data}",
      (f"--data={DATASETS[data].spec}", f"--recipe={recipe}", *arguments),
      accelerator=accelerator, program="evaluate", sets={"artifact": of},
  )
