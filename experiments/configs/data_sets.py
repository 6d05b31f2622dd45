"""Data sets of configurations, and the settings published for them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from distill_jax.methods import Traits


class DataSet(NamedTuple):
  """A data set of configurations.

  Attributes:
    spec: its SPEC.
    preprocessing: a name, or mean and std of each channel in [0, 1].
    network: the usual student.
    width: width of its ConvNet.
    traits: what published settings depend on; None if nothing was published.
    length: words per sentence; 0 for other data.
    max_words: size of the vocabulary; 0 for all words.
    num_classes: number of classes; used only with `traits`.
    evaluation: changes to the usual evaluation.
  """

  spec: str
  preprocessing: Any
  network: Mapping[str, Any]
  width: int = 128
  traits: Traits | None = None
  length: int = 0
  max_words: int = 0
  num_classes: int = 10
  evaluation: Mapping[str, Any] = MappingProxyType({})


def _images(
    spec,
    mean,
    std,
    *,
    depth=3,
    side=32,
    mirrored=True,
    reference=32,
    num_classes=10):
  return DataSet(
      spec,
      dict(mean=mean, std=std),
      dict(name="convnet", depth=depth),
      num_classes=num_classes,
      traits=Traits(len(mean), side, mirrored, std[0], reference))


def _texts(spec, length, network="text_convnet", max_words=0):
  return DataSet(
      spec,
      "word_vectors",
      dict(
          name=network,
          **(
              dict(hidden=100) if network.startswith("bi_") else dict(
                  width=100))),
      length=length,
      max_words=max_words,
      evaluation=dict(baselines="random_real,class_mean"))


# Data sets whose training texts are also used to learn word vectors.
CORPORA = {
    "trec": "csv:trec?text=text&tokens=spaces",
    "sst5": "csv:sst5?text=text&tokens=spaces",
    "imdb": "csv:imdb?text=text",
    "tweets": "csv:twitter_airline?text=text"
}
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ALL = dict(baselines="all", full_data=True, num_sets=20, networks_per_set=10)
DATA_SETS = {
    "digits":
        DataSet(
            "digits",
            "standardise",
            dict(name="convnet", depth=2),
            32,
            evaluation=_ALL),
    "table":
        DataSet(
            "csv:table.csv?test=0.2",
            "standardise",
            dict(name="mlp", widths=[64]),
            evaluation=_ALL),
    "mnist":
        _images(
            "idx:mnist", (0.1307,), (0.3081,),
            side=28,
            mirrored=False,
            reference=28),
    "fashion_mnist": _images(
        "idx:fashion_mnist", (0.2861,), (0.3530,), side=28),
    "cifar10":
        _images(
            "npz:cifar10.npz", (0.4914, 0.4822, 0.4465),
            (0.2023, 0.1994, 0.2010)),
    "cifar100":
        _images(
            "tfds:cifar100", (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762),
            num_classes=100),
    "svhn":
        _images(
            "tfds:svhn_cropped", (0.4377, 0.4438, 0.4728),
            (0.1980, 0.2010, 0.1970),
            mirrored=False),
    "tiny_imagenet":
        _images(
            "tfds:tiny_imagenet", *_IMAGENET, depth=4, side=64,
            num_classes=200),
    "trec6": _texts(CORPORA["trec"], 30, "bi_lstm"),
    "trec50": _texts(CORPORA["trec"] + "&label=fine", 30),
    "sst5": _texts(CORPORA["sst5"], 56, "bi_rnn"),
    "imdb": _texts(CORPORA["imdb"], 400, max_words=30_000),
    "tweets": _texts(CORPORA["tweets"], 40)
}


def text_fields(name: str, chosen) -> dict:
  """How the texts of a data set become vectors; see docs/text.md."""
  others = [c for corpus, c in CORPORA.items() if not name.startswith(corpus)]
  data_set = DATA_SETS[name]
  return dict(
      length=data_set.length,
      max_words=data_set.max_words,
      drop_duplicates=False,
      vectors=chosen.vectors,
      corpora=[] if chosen.own or chosen.vectors else others,
      dim=0 if chosen.vectors else 100,
      window=5,
      min_count=2,
      power=0.0)
