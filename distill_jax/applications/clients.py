"""What clients of federated learning send, and what a server makes of it.

See `federated` for the protocol and its paper.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from distill_jax import storage
from distill_jax.applications.cells import Cells, cells_of, key_of
from distill_jax.applications.makers import maker, student_for
from distill_jax.applications.partition import rows_of
from distill_jax.applications.programs import compiled_once
from distill_jax.applications.settings import (
    check_counts,
    check_switches,
    is_number,
    smallest_class,
)
from distill_jax.applications.small_sets import (
    Maker,
    rows_of_bytes,
    seconds_of,
    stored_bytes,
    timed,
)
from distill_jax.applications.upload import VALUES, Format, check_values
from distill_jax.artifact import Artifact
from distill_jax.choices import one_of
from distill_jax.data.source import check_source
from distill_jax.errors import ConfigError, shown
from distill_jax.evaluation.fitting import own_learner
from distill_jax.initialisation import step_order
from distill_jax.merging import merge
from distill_jax.methods.condensing import condense_each
from distill_jax.probe_set import has_probe
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


def options_of(given: Options | Mapping[str, Any] | None) -> Options:
  """Options, checked; a mapping names some of them.

  Raises:
    ConfigError: an unknown name or a value out of its range.
  """
  if not isinstance(given, Options):
    given = {} if given is None else given
    if not isinstance(given, Mapping):
      raise ConfigError(
          "`options` must be an Options, or a mapping that names some of "
          f"{', '.join(Options._fields)}; got {shown(given)}.")
    for name in given:
      one_of(Options._fields, "options", name)
    given = Options(**given)
  one_of(VALUES, "values", given.values)
  if not is_number(given.noise) or not 0 <= given.noise < math.inf:
    raise ConfigError(
        f"`noise` must be a number of at least 0; got {shown(given.noise)}.")
  check_switches(weighted=given.weighted)
  if given.hard is not None:
    check_switches(hard=given.hard)
  return given


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
    made_by: a method, or anything else that `makers.maker` takes.
    samples_per_class: that a client makes of each class it holds; fewer where
      its smallest class has fewer.
    budgets: bytes of each client, which then sends as many samples as real ones
      of these bytes; `samples_per_class` is not used.
    network: that methods work with; by default one that suits the data.
    options: of uploads; see `Options`.
    seed: client i has the key `key_of(seed, 0, i)`.
    cells: where the sets are kept; with a folder the uploads are written too.
    name: of the cells and of the folder of uploads; by default the maker's.
  """
  check_source(source)
  made_by, cells = maker(made_by), cells_of(cells)
  options = options_of(options)
  check_values(options.values, source.raw_dtype)
  check_counts(samples_per_class=samples_per_class)
  clients = rows_of(clients, source.train.num_samples)
  held = [i for i, rows in enumerate(clients) if len(rows)]
  shards = {i: source.take(clients[i]) for i in held}
  sizes = {i: num_rows_of(shards[i], samples_per_class) for i in held}
  if budgets is not None:
    sizes = {i: rows_of_bytes(shards[i], budgets[i]) for i in held}
  name = name or made_by.name
  sets = _made(shards, sizes, made_by, network, seed, cells, name)
  if all(map(has_probe, sets)):
    return _of_probes(sets, held, options)
  values = options.values
  if made_by.exact and source.raw_dtype == "uint8":
    values = "pixels"
  inputs, labels, owners, sent = [], [], [], 0
  for i, one in zip(shards, sets, strict=True):
    form = Format.of(one, values=values, hard=options.hard)
    content = form.pack(_noisy(one, options.noise, seed, i))
    if cells.folder is not None:
      sent += _written(cells.folder / "uploads" / str(name), i, content)
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
  own = sets[0].network if own_learner(sets[0].network) else None
  return Union(
      TrainingSet(samples, step_order(len(rows), 1)), sent, len(rows),
      sum(map(seconds_of, sets)), own, np.concatenate(owners))


def _of_probes(sets, held, options: Options) -> Union:
  """The union of sets of a linear probe, whose offsets travel too."""
  if options != Options(hard=options.hard):
    raise ConfigError(
        "`options` must be the usual ones for sets of a linear probe, which "
        f"are sent as they are; got {options}.")
  whole = merge(sets)
  owners = [
      np.full(one.num_samples, i) for i, one in zip(held, sets, strict=True)
  ]
  sent = sum(map(stored_bytes, sets))
  return Union(
      whole.training_set, sent, sum(map(len, owners)),
      sum(map(seconds_of, sets)), sets[0].network, np.concatenate(owners))


def num_rows_of(shard, samples_per_class: int) -> int:
  """Label rows of a client: of each class at most what it has of the rarest."""
  each = min(samples_per_class, smallest_class(shard))
  return len(shard.train.present) * each


def _made(shards, sizes, made_by, network, seed, cells: Cells,
          name) -> list[Artifact]:
  """The sets of clients, those that are missing made together."""
  places = {i: f"{name}/client_{i}" for i in shards}
  missing = [i for i in shards if not cells.done(places[i])]
  keys = [key_of(seed, CLIENTS, i) for i in missing]
  told, made = Countdown(f"sets of clients by {name}", len(missing)), []

  def keep(place: int, one: Artifact) -> None:
    cells.artifact(places[missing[place]], lambda: one)
    made.append(place)  # not in their order
    told(len(made))

  if made_by.method is None:
    for place, (i, key) in enumerate(zip(missing, keys, strict=True)):
      keep(place, timed(made_by, key, shards[i], sizes[i], network))
  elif missing:
    with compiled_once():  # methods that prepare something go one by one
      condense_each([shards[i] for i in missing],
                    made_by.method,
                    student_for(made_by.method, made_by.network, network),
                    num_rows=[sizes[i] for i in missing],
                    keys=keys,
                    on_made=keep)
  return [cells.kept(place) for place in places.values()]


def _noisy(artifact: Artifact, noise: float, seed: int, i: int) -> Artifact:
  if not noise:
    return artifact
  key = jax.random.fold_in(key_of(seed, CLIENTS, i), 1)
  added = noise * jax.random.normal(key, artifact.inputs.shape, np.float32)
  return artifact._replace(inputs=artifact.inputs + np.asarray(added))


def _written(folder, i: int, content: bytes) -> int:
  """Bytes of the file that was written."""
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / f"client_{i}.bin"
  storage.replace(file, content)
  return file.stat().st_size
