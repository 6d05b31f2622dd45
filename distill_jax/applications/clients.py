"""What clients of federated learning send, and what a server makes of it.

See `federated` for the protocol and its paper.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import storage
from distill_jax.applications.cells import Cells
from distill_jax.applications.makers import (
    Maker,
    check_counts,
    key_of,
    maker,
    rows_of_bytes,
    student_for,
)
from distill_jax.applications.upload import Format
from distill_jax.artifact import Artifact
from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError
from distill_jax.initialisation import step_order
from distill_jax.methods.condensing import condense_each
from distill_jax.runs.console import Countdown
from distill_jax.types import Samples, TrainingSet

CLIENTS = 0  # first place of the keys of clients


class Options(NamedTuple):
  """How uploads are made.

  Attributes:
    values: "float32", "float16" or "uint8", what a value is sent as; real
      samples of 8-bit images are sent as they are.
    hard: whether labels are sent as the number of their class; by default
      where they name one.
    noise: standard deviation of Gaussian noise that clients add to samples, in
      units of model space. It gives no privacy guarantee.
    weighted: whether a client's samples count by the size of its data.
  """

  values: str = "float32"
  hard: bool | None = None
  noise: float = 0.0
  weighted: bool = False


class Union(NamedTuple):
  """What the server holds.

  Attributes:
    training_set: of all uploads.
    bytes: that were sent, the sum of the files' sizes.
    num_samples: in all.
    seconds: of making the sets, all clients together.
    learner: that the sets bring along, its specification; or None.
    from_client: [M] the client of each sample.
  """

  training_set: TrainingSet
  bytes: int
  num_samples: int
  seconds: float
  learner: Mapping[str, Any] | None
  from_client: np.ndarray


def collect(
    source,
    clients: Sequence[np.ndarray],
    made_by: Maker | Any,
    *,
    samples_per_class: int = 1,
    budgets: Sequence[int] | None = None,
    network=None,
    options: Options | None = None,
    seed: int = 0,
    cells: Cells | None = None,
    name: str | None = None) -> Union:
  """Every client's upload, and their union.

  Args:
    source: all data; clients hold parts of its training split.
    clients: rows of each, as of `partition`; those without rows send nothing.
    made_by: a method, or what else `makers.maker` takes.
    samples_per_class: that a client makes of each class it holds; fewer where
      its smallest class has fewer.
    budgets: bytes of each client, which then sends as many real samples as they
      allow.
    network: that methods work with; by default what suits the data.
    options: of uploads.
    seed: client i has the key `key_of(seed, 0, i)`.
    cells: where uploads are kept, below
    name: by default that of the maker.
  """
  check_source(source)
  made_by, options, cells = maker(
      made_by), options or Options(), cells or Cells()
  check_counts(samples_per_class=samples_per_class)
  held = [i for i, rows in enumerate(clients) if len(rows)]
  if not held:
    raise ConfigError("`clients` must hold samples; got none in all of them.")
  sizes = [
      _num_rows(source, clients[i], samples_per_class) if budgets is None else
      min(rows_of_bytes(source, budgets[i]), len(clients[i])) for i in held
  ]
  name = name or made_by.name
  sets = _made(
      source, clients, held, sizes, made_by, network, seed, cells, name)
  values = options.values
  if made_by.exact and source.raw_dtype == "uint8":
    values = "pixels"
  inputs, labels, owners, sent = [], [], [], 0
  for i, one in zip(held, sets, strict=True):
    form = Format.of(one, values=values, hard=options.hard)
    content = form.pack(_noisy(one, options.noise, seed, i))
    if cells.folder is not None:
      sent += _written(cells.folder / "uploads" / name, i, content)
    else:
      sent += len(content)
    x, y = form.unpack(content, source.preprocessing)
    weight = len(clients[i]) if options.weighted else 1.0
    inputs.append(x)
    labels.append((weight, y))
    owners.append(np.full(len(x), i))
  mean = np.mean([w for (w, y) in labels for _ in y])
  rows = np.concatenate([w / mean * y for w, y in labels])
  samples = Samples(
      np.concatenate(inputs), rows.astype(np.float32), np.zeros(0, np.float32))
  own = made_by.method is not None and made_by.method.model == "none"
  return Union(
      TrainingSet(samples, step_order(len(rows), 1)), sent, len(rows),
      sum(float(one.provenance.get("seconds", 0.0)) for one in sets),
      sets[0].network if own else None, np.concatenate(owners))


def _num_rows(source, rows: np.ndarray, samples_per_class: int) -> int:
  """Label rows of a client: of each class at most what it has of the rarest."""
  _, counts = np.unique(
      np.asarray(source.train.labels)[rows], return_counts=True)
  return len(counts) * min(samples_per_class, int(counts.min()))


def _made(source, clients, held, sizes, made_by, network, seed, cells,
          name) -> list[Artifact]:
  """The sets of clients, those that are missing made together."""
  places = {i: f"{name}/client_{i}" for i in held}
  missing = [i for i in held if not cells.done(places[i])]
  rows = dict(zip(held, sizes, strict=True))
  told = Countdown(f"sets of clients by {name}", len(missing))
  done = 0

  def keep(place: int, made: Artifact) -> None:
    nonlocal done
    cells.artifact(places[missing[place]], lambda: made)
    done += 1
    told(done)

  if made_by.method is None:
    for place, i in enumerate(missing):
      shard = source.take(clients[i])
      began = time.perf_counter()
      made = made_by.make(key_of(seed, CLIENTS, i), shard, rows[i])
      spent = dict(seconds=round(time.perf_counter() - began, 3))
      keep(place, made._replace(provenance={**made.provenance, **spent}))
  elif missing:
    condense_each([source.take(clients[i]) for i in missing],
                  made_by.method,
                  student_for(made_by.method, made_by.network, network),
                  num_rows=[rows[i] for i in missing],
                  keys=[key_of(seed, CLIENTS, i) for i in missing],
                  on_made=keep)

  def lost():
    raise ConfigError("`cells` must keep what it was given.")

  return [cells.artifact(places[i], lost) for i in held]


def _noisy(artifact: Artifact, noise: float, seed: int, i: int) -> Artifact:
  if not noise:
    return artifact
  if noise < 0:
    raise ConfigError(f"`noise` must be at least 0; got {noise}.")
  key = jax.random.fold_in(key_of(seed, CLIENTS, i), 1)
  added = noise * jax.random.normal(key, artifact.inputs.shape)
  return artifact._replace(inputs=artifact.inputs + np.asarray(added))


def _written(folder, i: int, content: bytes) -> int:
  """Bytes of the file that was written."""
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / f"client_{i}.bin"
  storage.replace(file, content)
  return file.stat().st_size
