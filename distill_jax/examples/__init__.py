"""Small distilled sets that come with the library, each with its report.

    made = dd.examples.load("mnist_10")      # ten images of each digit
    print(dd.examples.report("mnist_10"))    # accuracy of networks

Each set was made with the command in `load(name).provenance`, and measured with
that in `report(name)["command"]`. Sets are quantised to 8 bits a value. Their
samples are learned pixels, not images of the data.

  digits_1          scikit-learn's digits, one 8 x 8 image a class, soft labels
  mnist_10          MNIST, ten images a class
  fashion_mnist_10  Fashion-MNIST, ten images a class
  cifar10_1         CIFAR-10, one image a class
"""

import json
from importlib import resources

from distill_jax.artifact import Artifact
from distill_jax.artifact import load as load_file
from distill_jax.choices import one_of
from distill_jax.evaluation.report import Evaluation

_SET, _REPORT = ".safetensors", ".json"


def names() -> list[str]:
  """The names of the sets."""
  files = (file.name for file in resources.files(__name__).iterdir())
  return sorted(
      name.removesuffix(_SET) for name in files if name.endswith(_SET))


def load(name: str) -> Artifact:
  """Loads a set, to train on or to distil further.

  Raises:
    ConfigError: an unknown name.

  Example:
    made = dd.examples.load("digits_1")
  """
  with resources.as_file(_file(name, _SET)) as path:
    return load_file(path)


def report(name: str) -> Evaluation:
  """The report of the file that `load` reads; it prints as a table.

  The time of measuring is left out, because it differs between machines.

  Raises:
    ConfigError: an unknown name.

  Example:
    dd.examples.report("digits_1").mean
  """
  return Evaluation(json.loads(_file(name, _REPORT).read_text("utf-8")))


def _file(name: str, ending: str):
  return resources.files(__name__) / (one_of(names(), "name", name) + ending)
