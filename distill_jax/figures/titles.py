"""Names in figures: of data sets, classes, methods, networks and sets.

`row_name` names rows of results. `applications.names.title` names what
applications compare, such as "DM, four in one".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill_jax.errors import counted
from distill_jax.evaluation.baselines import TITLES
from distill_jax.figures.captions import classes_of_rows

# Known data sets, by the last part of their SPEC without file ending.
_DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "imdb": "IMDB",
    "mnist": "MNIST",
    "sst5": "SST-5",
    "svhn": "SVHN",
    "svhn_cropped": "SVHN",
    "tiny_imagenet": "Tiny ImageNet",
    "trec": "TREC",
    "trec6": "TREC-6",
    "trec50": "TREC-50",
    "tweets": "US airline tweets",
    "twitter_airline": "US airline tweets"
}
_ENDINGS = (
    ".csv", ".gz", ".json", ".jsonl", ".npz", ".parquet", ".tsv", ".txt",
    ".zip")
# Class names of known data sets whose files have numbers instead.
_CLASSES = {
    "CIFAR-10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse",
        "ship", "truck"),
    "Fashion-MNIST": (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal",
        "shirt", "sneaker", "bag", "ankle boot")
}
_NETWORKS = {
    "alex_cifar_net": "AlexCifarNet",
    "alexnet": "AlexNet",
    "bi_lstm": "bidirectional LSTM",
    "bi_rnn": "bidirectional RNN",
    "conv_lstm": "convolutional LSTM",
    "convnet": "ConvNet",
    "frepo_convnet": "FRePo's ConvNet",
    "kernel_ridge": "kernel ridge regression",
    "lenet": "LeNet",
    "mlp": "MLP",
    "mobilenet_v2": "MobileNetV2",
    "resnet10": "ResNet-10",
    "resnet18": "ResNet-18",
    "text_convnet": "text ConvNet",
    "vgg11": "VGG-11",
    "vit": "ViT"
}
# Selections of real samples, and parameterizations. Baselines that are not here
# are named as in tables; figures are seen alone and need longer names.
_ROWS = {
    "all_real": "all real data",
    "byte_matched_quantised": "random real, quantised the same way",
    "byte_matched_real": "random real, as many bytes",
    "early_stopping": "all real data, as many steps",
    "encoded_real": "random real, stored the same way",
    "fedavg": "FedAvg",
    "field": "neural fields",
    "frequency": "frequencies",
    "herding": "herding",
    "kcentre": "k-centre",
    "multi_formation": "several images in one",
    "optimised_real": "best of many random real sets",
    "relabelled_real": "random real, the teacher's labels"
}


def method_name(artifact) -> str:
  """Names the method of an `Artifact`, as papers spell it if that is known."""
  return artifact.provenance.get("title") or artifact.method


def loss_name(artifact) -> str:
  """Describes the loss in `metrics.jsonl`: its method and what it measures.

  An example is "outer loss of SLDD: cross-entropy on real data".

  Args:
    artifact: an `Artifact`.
  """
  name = f"outer loss of {method_name(artifact)}"
  loss = artifact.provenance.get("loss")
  return f"{name}: {loss}" if loss else name


def data_name(spec: str) -> str:
  """Names the data set of a SPEC, such as "MNIST" for "idx:mnist".

  Known data sets have their usual names, others the name of their file or
  folder without its ending.

  Args:
    spec: SPEC of any data.
  """
  _, mark, place = spec.partition(":")
  place = (place if mark and place else spec).partition("?")[0]
  name = place.rstrip("/").rpartition("/")[2] or spec
  while name.lower().endswith(_ENDINGS) and not name.startswith("."):
    name = name.rpartition(".")[0]
  return _DATA.get(name.partition(":")[0].lower(), name)


def class_names(spec: str, names: Sequence[str]) -> tuple[str, ...]:
  """Replaces numbered classes of known data sets by their usual names.

  Args:
    spec: SPEC of the data.
    names: the K class names in the data.

  Returns:
    K usual names if the data set is known and `names` are "0", "1", ...;
    otherwise `names`.
  """
  known = _CLASSES.get(data_name(spec), ())
  numbers = [str(i) for i in range(len(known))]
  return known if known and list(names) == numbers else tuple(names)


def network_name(name: str) -> str:
  """Names a network as papers do, such as "ConvNet" for "convnet"."""
  return _NETWORKS.get(name, name.replace("_", " "))


def row_name(name: str) -> str:
  """Names a row of results in words, such as "random real, as many bytes".

  Args:
    name: name of a baseline, a selection of real samples or a parameterization,
      as in reports or tables. In other names, underscores become spaces.
  """
  of_title = {title: known for known, title in TITLES.items()}
  name = of_title.get(name, name)
  key = name.replace(" ", "_")
  return {**TITLES, **_ROWS}.get(key, name.replace("_", " "))


def set_size(artifact) -> str:
  """Describes the size of a set: "20 samples (2 per class, 2 steps)".

  The number per class is given if it is the same for all classes, and the
  number of steps if there are several.

  Args:
    artifact: an `Artifact`.
  """
  size = counted(artifact.num_samples, "sample")
  found: list[Any] = [_per_class(artifact)] if _per_class(artifact) else []
  if len(artifact.order) > 1:
    found.append(f"{len(artifact.order)} steps")
  texts = [f"{f} per class" if isinstance(f, int) else f for f in found]
  return f"{size} ({', '.join(texts)})" if texts else size


def set_title(artifact) -> str:
  """Title of figures of a set: "digits by SLDD, 10 samples (1 per class)".

  Args:
    artifact: an `Artifact`.
  """
  data = data_name(str(artifact.provenance.get("data") or "unnamed data"))
  return f"{data} by {method_name(artifact)}, {set_size(artifact)}"


def _per_class(artifact) -> int | None:
  """Number of samples per class, or None if it differs between classes."""
  if artifact.num_rows != artifact.num_samples:
    return None  # one label row decodes into several samples
  known = artifact.provenance.get("per_class")
  if known:
    return known
  counts = np.bincount(classes_of_rows(artifact.labels, artifact.label_space))
  counts = set(counts[counts > 0].tolist())
  return counts.pop() if len(counts) == 1 else None
