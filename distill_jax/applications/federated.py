"""One-shot federated learning: each client sends one small set, once.

Song et al., "Federated Learning via Decentralized Dataset Distillation in
Resource-Constrained Edge Environments" (FedD3), 2022, arXiv 2208.11311:

  1  the server announces a format
  2  every client makes a small set of its own data
  3  every client uploads samples and labels
  4  the server trains a network on the union of the sets and tests it

A client makes its set by any method, or chooses real samples. What differs from
the public code: clients do not normalise a second time by their own statistics;
the accuracy after the last epoch is reported, not the best one; and there are
rows of random real samples, for the same number of samples and for the same
number of bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from distill_jax import models
from distill_jax.applications import makers as making
from distill_jax.applications.cells import Cells, cells_of
from distill_jax.applications.clients import (
    Options,
    Union,
    collect,
    num_rows_of,
    options_of,
)
from distill_jax.applications.federated_report import draw, table
from distill_jax.applications.findings import Findings
from distill_jax.applications.partition import PARTITIONS, by_classes, rows_of
from distill_jax.applications.serving import (
    RECIPE,
    ROWS,
    averaged,
    on_all,
    recipe_spec,
    row_of,
    server,
)
from distill_jax.applications.settings import (
    check_counts,
    check_seed,
    check_switches,
    check_tested,
    is_whole,
    listed,
)
from distill_jax.applications.small_sets import Maker
from distill_jax.applications.upload import check_values
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError, shown
from distill_jax.runs import students

__all__ = ["compare", "run", "server"]


def compare(
    source,
    makers: Sequence[Any] = ("kmeans", "random_real"),
    *,
    clients: Sequence[np.ndarray] | None = None,
    num_clients: int = 10,
    samples_per_class: int = 1,
    network=None,
    client_network=None,
    recipe: Mapping[str, Any] | None = None,
    num_networks: int = 5,
    options: Options | None = None,
    same_bytes: bool = True,
    rounds: Sequence[int] = (1, 2, 5, 18),
    local_epochs: int = 5,
    full_data: bool = True,
    seed: int = 0,
    cells: Cells | None = None) -> Findings:
  """Compares makers by the server's accuracy and the bytes that clients send.

  Args:
    source: real data with a test split.
    makers: methods, or anything else that `makers.maker` takes.
    clients: for each client, its rows of the training split; by default
      `num_clients` clients with equal shares of every class.
    num_clients: number of clients if `clients` is None.
    samples_per_class: see `collect`.
    network: the server's network; see `server`.
    client_network: the network that clients distil with; see `collect`.
    recipe: how the server trains; see `server`.
    num_networks: networks that the server trains for each row.
    options: how uploads are made; see `clients.Options`.
    same_bytes: whether to add rows of random real samples of as many bytes, for
      sets whose samples are not real ones. Sets of equal bytes share a row.
    rounds: rounds of federated averaging that are reported, ascending; empty
      for no such rows.
    local_epochs: epochs of a client in one round of federated averaging.
    full_data: whether to train the server on all data, as an upper bound.
    seed: seed of everything that is drawn.
    cells: where results are kept, so that work can continue.

  Returns:
    Findings with accuracy and bytes per row; they print as a table.

  Raises:
    ConfigError, DataError: a setting is not possible; raised before any work.

  Example:
    print(federated.compare(source, ["dm", "random_real"], num_clients=4))
  """
  check_tested(source)
  check_seed(seed)
  check_switches(same_bytes=same_bytes, full_data=full_data)
  cells, labels = cells_of(cells), np.asarray(source.train.labels)
  if clients is None:
    clients = by_classes(labels, num_clients, seed=seed)
  clients = rows_of(clients, len(labels))
  given = making.makers(makers, taken=ROWS)
  options, rounds = options_of(options), _rounds(rounds)
  check_values(options.values, source.raw_dtype)
  check_counts(
      samples_per_class=samples_per_class,
      num_networks=num_networks,
      local_epochs=local_epochs)
  server_network = students.network(network, source).model
  recipe = recipe_spec(recipe)
  shard = source.take(max(clients, key=len))
  for one in given:
    size = num_rows_of(shard, samples_per_class)
    making.check_sound(one, shard, size, client_network)
  fixed = dict(network=client_network, options=options, seed=seed, cells=cells)
  judged = dict(
      network=server_network,
      recipe=recipe,
      num_networks=num_networks,
      seed=seed)
  rows = [
      row_of(source, title, union, judged, cells) for title, union in _unions(
          source,
          clients,
          given,
          samples_per_class=samples_per_class,
          same_bytes=same_bytes,
          **fixed)
  ]
  if rounds:
    rows += averaged(
        source, clients, server_network, rounds, local_epochs, seed, cells)
  if full_data:
    rows.append(on_all(source, server_network, seed, cells))
  sizes = [len(r) for r in clients]
  document = dict(
      application="federated",
      data=source.name,
      settings=dict(
          num_clients=len(clients),
          without_data=[i for i, n in enumerate(sizes) if not n],
          samples_of_clients=[min(sizes), max(sizes)],
          samples_per_class=samples_per_class,
          network=dict(models.spec_of(server_network)),
          recipe=recipe,
          options=options._asdict(),
          local_epochs=local_epochs,
          seed=seed),
      rows=rows)
  return Findings(document, table, draw)


def run(
    source,
    *,
    cells: Cells | None = None,
    seed: int = 0,
    num_clients: int = 10,
    partition: str = "by_classes",
    classes_per_client: int = 0,
    alpha: float = 0.5,
    samples_per_class: int = 1,
    makers: Sequence[Any] = ("kmeans", "random_real"),
    network: Mapping[str, Any] | None = None,
    client_network: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] = MappingProxyType(RECIPE),
    num_networks: int = 5,
    values: str = "float32",
    hard: bool = False,
    noise: float = 0.0,
    weighted: bool = False,
    same_bytes: bool = True,
    rounds: Sequence[int] = (1, 2, 5, 18),
    local_epochs: int = 5,
    full_data: bool = True) -> Findings:
  """`compare` with JSON settings only.

  Args:
    source: real data with a test split.
    cells: see `compare`.
    seed: see `compare`.
    num_clients: number of clients.
    partition: "by_classes" or "dirichlet"; see `partition`.
    classes_per_client: setting of "by_classes"; 0 for all classes.
    alpha: setting of "dirichlet".
    samples_per_class: see `collect`.
    makers: see `compare`.
    network: see `compare`.
    client_network: see `compare`.
    recipe: see `compare`.
    num_networks: see `compare`.
    values: see `Options`.
    hard: True to send every label as a class number; False for the default of
      `Options`.
    noise: see `Options`.
    weighted: see `Options`.
    same_bytes: see `compare`.
    rounds: see `compare`.
    local_epochs: see `compare`.
    full_data: see `compare`.
  """
  check_tested(source)
  check_seed(seed)
  check_switches(hard=hard)
  drawn = dict(
      by_classes=dict(classes_per_client=classes_per_client or None),
      dirichlet=dict(alpha=alpha))
  settings = one_of(drawn, "partition", partition)
  clients = PARTITIONS[partition](
      np.asarray(source.train.labels), num_clients, **settings, seed=seed)
  found = compare(
      source,
      makers,
      clients=clients,
      samples_per_class=samples_per_class,
      network=network,
      client_network=client_network,
      recipe=recipe,
      num_networks=num_networks,
      options=Options(values, hard or None, noise, weighted),
      same_bytes=same_bytes,
      rounds=rounds,
      local_epochs=local_epochs,
      full_data=full_data,
      seed=seed,
      cells=cells)
  found["settings"]["partition"] = dict(name=partition, **settings)
  return found


def _unions(
    source, clients: Sequence[np.ndarray], given: Sequence[Maker], *,
    samples_per_class: int, same_bytes: bool,
    **fixed: Any) -> Iterator[tuple[str, Union]]:
  """Yields the label of each row, and the union of its uploads.

  After sets whose samples are not real ones come random real samples that take
  as many bytes for each client. Sets of equal bytes share these.
  """
  compared = []
  for one in given:
    union = collect(
        source, clients, one, samples_per_class=samples_per_class, **fixed)
    yield one.name, union
    if not same_bytes or one.exact:
      continue
    sizes = np.bincount(union.from_client, minlength=len(clients))
    each = union.bytes / union.num_samples
    budgets = [int(each * size) for size in sizes]
    if budgets in compared:
      continue
    compared.append(budgets)
    yield f"real, bytes of {one.name}", collect(
        source,
        clients,
        "random_real",
        budgets=budgets,
        name=f"bytes_of_{one.name}",
        **fixed)


def _rounds(given) -> list[int]:
  """Checks the rounds of federated averaging after which to report accuracy."""
  rounds = list(listed("rounds", given))
  counts = all(is_whole(n) and n > 0 for n in rounds)
  if not counts or rounds != sorted(set(rounds)):
    raise ConfigError(
        "`rounds` must be whole numbers of at least 1, ascending; got "
        f"{shown(rounds)}.")
  return rounds
