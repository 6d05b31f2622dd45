"""What trajectory methods follow: experts, trained once and found again."""

import json
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import build
import jax
import jax.numpy as jnp
import workdir
from methods import TRAJECTORIES, augmented, start_epochs

from distill_jax import initialisation, models, parameterization
from distill_jax.errors import ConfigError
from distill_jax.flatness import flat_minima, plain
from distill_jax.preprocessing import ZCA
from distill_jax.runs.console import say
from distill_jax.trajectories import agreement, buffer
from distill_jax.trajectories.experts import each_expert
from distill_jax.trajectories.feed import Feed
from distill_jax.types import Distilled, PyTree

_APART = 2**31 - 2  # from the outer steps, whose numbers are smaller
# Fields that do not change an expert.
_OUTSIDE = ("at_once", "dtype", "num")


def prepare(run, config, fingerprint: str, folder: str | None, *, home: Path):
  """The run with its experts: what it is fed, and a start that asks them.

  Args:
    run: a `build.Run`.
    config: of it.
    fingerprint: of its data.
    folder: of experts that are there; None to train them.
    home: below which they are trained, and found by runs that ask for the same.

  Returns:
    A `build.Run`; the same one where the method follows no experts.
  """
  if config.method not in TRAJECTORIES:
    return run
  source = run.source
  if folder is None:
    folder = home / "experts" / _name(config, fingerprint)
    train(config, source, fingerprint, folder)
  opened = open_experts(
      config, source, fingerprint, Path(folder), config.experts.num
  )
  start = _start(run, config, opened)
  finish = None
  if config.label_space == "probabilities":
    finish = partial(_taught, run, config, opened)
  feed = Feed(
      opened, seed=config.seed, span=config.segment.span,
      epochs=start_epochs(config.segment),
  )
  measured = dict(experts=dict(
      num=opened.num_experts, num_epochs=opened.num_epochs,
      accuracy=opened.accuracy,
      seconds=[d["about"]["seconds"] for d in opened.documents],
  ))
  return build.run(config, source, start=start)._replace(
      feed=feed, finish=finish, measured=measured
  )


def train(config, source, fingerprint: str, folder: Path) -> None:
  """Trains the experts that a folder lacks, and saves each when finished."""
  folder.mkdir(parents=True, exist_ok=True)
  settings = config.experts
  with workdir.alone(folder, "experts"):
    buffer.forget_halves(folder)
    there = buffer.numbers(folder)
    wanted = [i for i in range(settings.num) if i not in there]
    if not wanted:
      return
    if there:  # refuses to mix
      open_experts(config, source, fingerprint, folder, num_experts=None)
    if isinstance(source.preprocessing, ZCA):  # dear, and fits
      source = source.encoded()
    _train(config, source, fingerprint, folder, wanted)


def _train(config, source, fingerprint, folder, numbers) -> None:
  settings = config.experts
  network = models.from_spec(config.network, source.num_classes)
  held_out = source.validation or source.test
  at_once = settings.at_once or _at_once()
  began = time.perf_counter()

  def told(first, epoch, accuracies):
    group = numbers[first : first + at_once]
    names = ", ".join(str(number + 1) for number in group)
    right = ", ".join(f"{100 * accuracy:.1f} %" for accuracy in accuracies)
    say(f"expert {names} of {settings.num}: epoch {epoch}/"
        f"{settings.num_epochs}  {right}")

  rule = plain
  if settings.radius:
    rule = flat_minima(settings.radius, surrogate_gap=settings.surrogate_gap)
  key = jax.random.key(settings.seed)
  trained = each_expert(
      jnp.stack([jax.random.fold_in(key, number) for number in numbers]),
      network, source.train,
      num_epochs=settings.num_epochs,
      step_size=settings.step_size,
      momentum=settings.momentum,
      weight_decay=settings.weight_decay,
      batch_size=settings.batch_size,
      augmentation=augmented(config, dict(
          kind="dsa", strategy=settings.strategy
      )),
      gradient_rule=rule, held_out=held_out, told=told, at_once=at_once,
  )
  for place, (number, expert) in enumerate(zip(numbers, trained, strict=True)):
    there = min((place // at_once + 1) * at_once, len(numbers))
    seconds = (time.perf_counter() - began) / there
    buffer.save_expert(
        folder, number, expert, like=_like(network, source),
        identity=_identity(config, fingerprint), dtype=settings.dtype,
        about=dict(
            seconds=round(seconds, 1),
            held_out="test" if source.validation is None else "validation",
        ),
    )


def _start(run, config, opened: buffer.Buffer) -> Distilled:
  """Where the set starts, of samples and labels that experts agree on."""
  begun, source = run.state.distilled, run.source
  stored = parameterization.from_spec(config.parameterization)
  size, steps = build.num_rows(config, source), config.num_steps_per_epoch

  def last():
    return _experts(run, opened, opened.num_epochs)

  if config.start == "correct":
    begun = begun._replace(codes=agreement.from_correct(
        jax.random.fold_in(run.key, _APART), source, stored, last(),
        run.network, num_samples=size, num_steps=steps, step_size=None,
    ).codes)
  if config.start_labels == "experts":
    classes = initialisation.start_classes(size, steps, source.num_classes)
    begun = agreement.with_logits(begun, stored, last(), run.network, classes)
  return begun


def _taught(run, config, opened: buffer.Buffer, distilled) -> Distilled:
  """The set with the labels that experts give it at the last target epoch."""
  epoch = start_epochs(config.segment).last_target(config.segment.span)
  return agreement.with_probabilities(
      distilled, parameterization.from_spec(config.parameterization),
      _experts(run, opened, epoch), run.network,
  )


def _experts(run, opened: buffer.Buffer, epoch: int) -> Iterator[PyTree]:
  """The variables of each expert after an epoch."""
  return opened.variables(
      epoch, run.network.init(run.key, run.source.example)
  )


def open_experts(
    config, source, fingerprint: str, folder: Path, num_experts: int | None
) -> buffer.Buffer:
  """The experts of a folder, which must be those of a configuration.

  Args:
    config: whose.
    source: its data.
    fingerprint: of the data.
    folder: where they are.
    num_experts: the first so many; None for all there are.
  """
  network = models.from_spec(config.network, source.num_classes)
  return buffer.open_buffer(
      folder, like=_like(network, source),
      identity=_identity(config, fingerprint),
      num_experts=num_experts,
  )


def _like(network, source) -> PyTree:
  return jax.eval_shape(
      network.init, jax.random.key(0), source.example
  )["params"]


def _identity(config, fingerprint: str) -> dict:
  """All that an expert depends on."""
  preprocessing = config.preprocessing
  if not isinstance(preprocessing, str):
    preprocessing = preprocessing.to_dict()
  recipe = {k: v for k, v in config.experts.items() if k not in _OUTSIDE}
  return json.loads(json.dumps(dict(
      data=fingerprint, network=config.network.to_dict(),
      preprocessing=preprocessing, recipe=recipe,
  )))


def _name(config, fingerprint: str) -> str:
  """A folder name for experts alike."""
  text = json.dumps(
      [_identity(config, fingerprint), config.experts.dtype], sort_keys=True
  )
  return f"{zlib.crc32(text.encode()):08x}"


def _at_once() -> int:
  """Experts trained together: one on a CPU, which has no use for more."""
  return 1 if jax.default_backend() == "cpu" else 10


def check_given(config, source, fingerprint: str, folder: str | None) -> None:
  """Refuses experts of another run, before anything is written."""
  if folder is not None:
    check_method(config, "--experts")
    open_experts(
        config, source, fingerprint, Path(folder), config.experts.num
    )


def check_method(config, flag: str) -> None:
  """Refuses a method that follows no experts."""
  if config.method not in TRAJECTORIES:
    raise ConfigError(
        f"`{flag}` is for methods that follow experts, "
        f"{', '.join(TRAJECTORIES)}; got {config.method}."
    )
