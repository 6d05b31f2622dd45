"""Sends metrics of a run to TensorBoard or Weights & Biases."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from distill_jax.choices import some_of
from distill_jax.errors import ConfigError
from distill_jax.processes import is_first

NAMES = "tensorboard", "wandb"
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class Sink(NamedTuple):
  """A destination of metrics.

  Attributes:
    write: a function that takes a step and a dict of its numbers.
    close: a function that is called when the run ends or is interrupted.
  """

  write: Callable[[int, Mapping[str, float]], None]
  close: Callable[[], None]


def checked(names: str) -> tuple[str, ...]:
  """Splits a text of `NAMES` separated by commas into a tuple.

  Raises:
    ConfigError: a name is unknown, or its package is not installed.
  """
  found = some_of(NAMES, "metrics", names) if names else ()
  for name in found:
    _package(name)
  return found


def opened(names: tuple[str, ...], folder: Path) -> list[Sink]:
  """Opens the destinations; returns none in all but the first process.

  Args:
    names: result of `checked`.
    folder: folder of the run. TensorBoard's events go to `tensorboard/` in it;
      W&B continues the run of the same folder and writes below `wandb/`.
  """
  makers = {"tensorboard": _tensorboard, "wandb": _wandb}
  return [makers[name](folder) for name in names if is_first()]


def _package(name):
  try:
    return importlib.import_module(_PACKAGES[name])
  except ImportError:
    raise ConfigError(
        f"`metrics` must name packages that are installed; got {name}. "
        f"pip install {_PACKAGES[name]}") from None


def _tensorboard(folder: Path) -> Sink:
  writer = _package("tensorboard").SummaryWriter(str(folder / "tensorboard"))

  def write(step, values):
    for name, value in values.items():
      writer.add_scalar(name, value, step)
    writer.flush()

  return Sink(write, writer.close)


def _wandb(folder: Path) -> Sink:
  where = folder.resolve()
  run = _package("wandb").init(
      project="distill_jax",
      name=f"{where.parent.name}/{where.name}",
      id=hashlib.sha256(str(where).encode()).hexdigest()[:16],
      resume="allow",
      dir=str(folder))
  return Sink(lambda step, values: run.log(dict(values), step=step), run.finish)
