"""The server of federated learning: one-shot, averaging, and all data.

See `federated` for the protocol and its paper.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.applications.averaging import fedavg, traffic
from distill_jax.applications.cells import Cells, key_of
from distill_jax.applications.clients import Union
from distill_jax.applications.settings import specified
from distill_jax.applications.small_sets import bytes_of_sample
from distill_jax.errors import counted
from distill_jax.evaluation import evaluate_set, fitting, train_on_all
from distill_jax.evaluation.learners import Learner, student
from distill_jax.evaluation.recipes import from_spec as recipe_of
from distill_jax.runs import students
from distill_jax.types import Network

ROWS = ("all_data", "fedavg")  # names of the cells of `averaged` and `on_all`
_SERVER, _AVERAGED, _ALL = range(1, 4)  # for `key_of`; clients use 0
# The server of the paper: 500 epochs of Adam, LeNet for MNIST.
RECIPE = {"name": "adam", "num_epochs": 500}


def server(
    source,
    union: Union,
    *,
    network: Network | Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    num_networks: int = 5,
    seed: int = 0):
  """Trains on the union of uploads, and tests the networks.

  Args:
    source: real data with a test part.
    union: the uploads, as `collect` returns them.
    network: the network of the server; by default one that suits the data. If
      sets bring a learner of their own, it is used instead.
    recipe: how the server trains; the paper's `RECIPE` by default.
    num_networks: number of initialisations.
    seed: seed of the initialisations and of training.

  Returns:
    A `Report` of accuracies after the last epoch.
  """
  learner = _learner(source, union, network, recipe)
  training_set = union.training_set
  samples = training_set.samples
  if learner.regression and not samples.extra:  # probes have centred labels
    centred = samples.labels - 1 / max(samples.labels.shape[1], 2)
    training_set = training_set._replace(
        samples=samples._replace(labels=centred))
  return evaluate_set(
      key_of(seed, _SERVER),
      training_set,
      source.test,
      learner=learner,
      num_networks=num_networks)


def _learner(source, union: Union, network, recipe) -> Learner:
  if union.learner is not None:
    return fitting.from_spec(union.learner, None, source.num_classes)
  model = students.network(network, source).model
  return student(model, recipe_of(recipe_spec(recipe)))


def recipe_spec(given: Mapping[str, Any] | str | None) -> dict[str, Any]:
  """The checked specification of the server's recipe.

  Args:
    given: a specification or a name; the paper's `RECIPE` by default.

  Raises:
    ConfigError, ValueError: an unknown recipe or setting.
  """
  spec = specified("recipe", RECIPE if given is None else given)
  recipe_of(spec)
  return spec


def row_of(
    source, title: str, union: Union, judged: Mapping[str, Any],
    cells: Cells) -> dict[str, Any]:
  """The row of one maker: what clients sent, and the server's accuracy.

  Args:
    source: real data with a test part.
    title: label of the row; the name of its cell is made of it.
    union: the uploads.
    judged: keyword arguments of `server`.
    cells: where accuracies are kept.
  """

  def measure():
    found = server(source, union, **judged).summary()
    alone = len(found["per_network"]) == 1
    return {**found, "stderr": None} if alone else found

  place = title.replace(", ", "_").replace(" ", "_")
  return dict(
      label=title,
      bytes=union.bytes,
      num_samples=union.num_samples,
      seconds=round(union.seconds, 1),
      **cells.json(f"server/{place}", measure))


def averaged(
    source, clients: Sequence[np.ndarray], network: Network,
    rounds: Sequence[int], local_epochs: int, seed: int,
    cells: Cells) -> list[dict[str, Any]]:
  """The rows of federated averaging, one for each number of rounds.

  Args:
    source: real data with a test part.
    clients: for each client, its rows of the training split.
    network: the network of the server and of the clients.
    rounds: numbers of rounds, ascending; the last one is how many are run.
    local_epochs: epochs of each client in a round.
    seed: seed of initialisation and training.
    cells: where accuracies are kept.
  """

  def measure():
    began = time.perf_counter()
    found = fedavg(
        key_of(seed, _AVERAGED),
        network,
        source.train,
        source.test,
        clients,
        num_rounds=rounds[-1],
        local_epochs=local_epochs)
    return dict(
        accuracy=found.tolist(), seconds=round(time.perf_counter() - began, 1))

  found = cells.json("server/fedavg", measure)
  held = sum(len(rows) > 0 for rows in clients)
  each = traffic(network, source.example, held)
  return [
      dict(
          label=f"FedAvg, {counted(n, 'round')}",
          line="FedAvg",
          bytes=n * each,
          num_samples=None,
          seconds=round(found["seconds"] * n / rounds[-1], 1),
          mean=found["accuracy"][n - 1],
          stderr=None,
          per_network=[found["accuracy"][n - 1]]) for n in rounds
  ]


def on_all(source, network: Network, seed: int, cells: Cells) -> dict[str, Any]:
  """The row of a server that is given all data, the upper bound.

  Args:
    source: real data with a test part.
    network: the network of the server.
    seed: seed of its training.
    cells: where the accuracy is kept.
  """

  def measure():
    found = train_on_all(key_of(seed, _ALL), network, source)
    return dict(mean=found.accuracy, seconds=round(found.cost.seconds, 1))

  found = cells.json("server/all_data", measure)
  num_samples = source.train.num_samples
  return dict(
      label="all data on the server",
      bytes=num_samples * bytes_of_sample(source),
      num_samples=num_samples,
      stderr=None,
      per_network=[found["mean"]],
      **found)
