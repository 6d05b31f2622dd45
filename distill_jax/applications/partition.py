"""Partitions of a training split: which rows each client has.

Label skew comes either from a number of classes per client, as in Song et al.,
"Federated Learning via Decentralized Dataset Distillation in
Resource-Constrained Edge Environments" (FedD3), 2022, arXiv 2208.11311, or from
shares of each class drawn from a Dirichlet distribution (Hsu, Qi & Brown, 2019,
arXiv 1909.06335).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill_jax.applications.settings import check_counts, check_positive
from distill_jax.errors import ConfigError, plain


def by_classes(
    labels: np.ndarray,
    num_clients: int,
    classes_per_client: int | None = None,
    *,
    seed: int = 0) -> list[np.ndarray]:
  """Gives client i the classes (i + j) mod K, j = 0..C_k - 1.

  The rows of a class are shuffled and cut into equal parts for the clients
  that hold the class; the last part also takes the remainder.

  Args:
    labels: [N], with K different values; class k is the k-th in sorted order.
    num_clients: number of clients, large enough that every class is held.
    classes_per_client: C_k; by default all K, which makes clients alike (IID).
    seed: seed of the order.

  Returns:
    The rows of each client, ascending. They are disjoint, and together all N.
    If a class has fewer rows than clients, some clients lack it.

  Raises:
    ConfigError: a number is out of range, labels have another shape or contain
      nan, or no client would hold some class.
  """
  labels, num_classes = _indices(labels)
  wanted = num_classes if classes_per_client is None else classes_per_client
  check_counts(num_clients=num_clients, classes_per_client=wanted)
  if wanted > num_classes:
    raise ConfigError(
        f"`classes_per_client` must be at most {num_classes}; got {wanted}.")
  held = [[(i + j) % num_classes
           for j in range(wanted)]
          for i in range(num_clients)]
  generator = np.random.default_rng(seed)
  rows: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
  for c in range(num_classes):
    holders = [i for i, classes in enumerate(held) if c in classes]
    if not holders:
      raise ConfigError(
          f"`num_clients` must be at least {num_classes - wanted + 1} for "
          f"clients of {wanted} of {num_classes} classes; got {num_clients}.")
    own = generator.permutation(np.flatnonzero(labels == c))
    size = len(own) // len(holders)
    cuts = size * np.arange(1, len(holders))
    for i, part in zip(holders, np.split(own, cuts), strict=True):
      rows[i].append(part)
  return [np.sort(np.concatenate(parts)) for parts in rows]


def dirichlet(
    labels: np.ndarray,
    num_clients: int,
    alpha: float,
    *,
    seed: int = 0) -> list[np.ndarray]:
  """Divides each class among clients by shares drawn from Dirichlet(alpha).

  Args:
    labels: [N], with K different values.
    num_clients: number of clients.
    alpha: positive; small values give most of a class to few clients.
    seed: seed of the draws.

  Returns:
    The rows of each client, ascending. They are disjoint, and together all N.
    Some clients may have no rows.

  Raises:
    ConfigError: a number is out of range, or labels have another shape or
      contain nan.
  """
  labels, num_classes = _indices(labels)
  check_counts(num_clients=num_clients)
  check_positive(alpha=alpha)
  generator = np.random.default_rng(seed)
  rows: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
  for c in range(num_classes):
    own = generator.permutation(np.flatnonzero(labels == c))
    shares = generator.dirichlet(np.full(num_clients, float(alpha)))
    cuts = np.round(np.cumsum(shares)[:-1] * len(own)).astype(int)
    for client, part in zip(rows, np.split(own, cuts), strict=True):
      client.append(part)
  return [np.sort(np.concatenate(parts)) for parts in rows]


def rows_of(clients: Sequence[Any], num_samples: int) -> list[np.ndarray]:
  """Returns the rows [n] int64 of each client; masks [N] bool become rows.

  Raises:
    ConfigError: an entry is neither rows nor a mask, a row does not exist, or a
      client has a row twice.
  """
  if isinstance(clients, str) or not isinstance(clients, Sequence | np.ndarray):
    raise ConfigError(
        "`clients` must be a list with the rows of each client; got "
        f"{plain(clients)}.")
  found = []
  for i, given in enumerate(clients):
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (num_samples,):
      rows = np.flatnonzero(rows)
    if not rows.size:
      rows = rows.astype(np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
      raise ConfigError(
          "`clients` must be rows of the training split, integers [n], or "
          f"masks [{num_samples}]; client {i} has {rows.dtype} {rows.shape}.")
    if rows.size and not (0 <= rows.min() and rows.max() < num_samples):
      raise ConfigError(
          f"`clients` must be rows 0..{num_samples - 1} of the training split; "
          f"client {i} has {rows.min()}..{rows.max()}.")
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
      most = counts.argmax()
      raise ConfigError(
          "`clients` must name each row of a client once; client "
          f"{i} has row {values[most]} {counts[most]} times. If these are "
          "masks, make them bool.")
    found.append(rows.astype(np.int64))
  if not any(map(len, found)):
    raise ConfigError("`clients` must hold samples; got none in all of them.")
  return found


def _indices(labels) -> tuple[np.ndarray, int]:
  """Returns labels as 0..K-1, and K."""
  labels = np.asarray(labels)
  numbers = labels.dtype.kind == "f"
  if labels.ndim != 1 or not len(labels) or (numbers and
                                             np.isnan(labels).any()):
    raise ConfigError(
        "`labels` must be [N], one class of each sample, without nan; got "
        f"{labels.dtype} {labels.shape}.")
  values, indices = np.unique(labels, return_inverse=True)
  return indices, len(values)


PARTITIONS = {"by_classes": by_classes, "dirichlet": dirichlet}
