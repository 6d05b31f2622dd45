"""Trajectory matching as methods: MTT, FTD, TESLA and DATM.

All of them match experts: networks that were trained on the real data and whose
weights were saved after each epoch. `prepare` trains the experts that a folder
lacks.
"""

import json
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from distill_jax import models, preprocessing, processes, storage
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.estimators.backprop import backprop
from distill_jax.flatness import flat_minima, plain
from distill_jax.labels import cross_entropy, cross_entropy_of_logits
from distill_jax.methods.method import Method, Prepared, Store, Task, student_of
from distill_jax.methods.outer import LABELS, OUTER
from distill_jax.methods.settings import declare
from distill_jax.methods.shared import (
    STARTS,
    STORED,
    USE,
    augmented,
    built,
    start,
)
from distill_jax.methods.traits import Traits
from distill_jax.objectives import datm as datm_lib
from distill_jax.objectives import mtt as mtt_lib
from distill_jax.outer_loop import step_size_floor
from distill_jax.parameterization import from_spec as parameterization_of
from distill_jax.trajectories import agreement, buffer
from distill_jax.trajectories.experts import each_expert
from distill_jax.trajectories.feed import Feed
from distill_jax.types import Array, Distilled, PyTree

# Settings that do not change the trained experts.
_OUTSIDE = ("at_once", "dtype", "num")
_GROWTH = dict(
    interpolated=datm_lib.interpolated, one_by_one=datm_lib.one_by_one)
EXPERTS = dict(
    num=5,
    num_epochs=8,
    step_size=0.05,
    momentum=0.0,
    weight_decay=0.0,
    batch_size=0,
    strategy=None,
    radius=0.0,
    surrogate_gap=0.0,
    dtype="float32",
    seed=0,
    at_once=0)
_MTT: dict[str, Any] = dict(
    **STORED,
    **USE,
    **OUTER,
    **LABELS,
    label_beta1=0.9,
    num_steps=100,
    experts=EXPERTS,
    student=dict(num_steps=10, batch_size=0, freeze=False),
    segment=dict(
        span=1, lowest=1, first=4, highest=4, growth="interpolated", until=1),
    label_space="raw",
    step_size=0.02,
    step_size_learning_rate=2e-4,
    step_size_floor=1e-6,
    clip_each=0.0,
    skip_above=0.0,
    spike=10.0,
    rollbacks=5) | dict(learning_rate=0.03)
_DATM = _MTT | dict(
    start="correct",
    label_space="logits",
    learn_labels=True,
    label_learning_rate=0.2,
    skip_above=2.0,
    segment=_MTT["segment"] | dict(first=3, until=50))

# Published for CIFAR-10, by samples per class: number of the student's steps,
# the epoch before which segments start, learning rates of the samples and of
# the
# step size, initial step size.
_CIFAR = {
    1: (50, 2, 100.0, 1e-7, 0.01),
    10: (30, 20, 100.0, 1e-5, 0.001),
    50: (30, 40, 1000.0, 1e-5, 0.001)
}
# TESLA's released code halves the gradient of the samples: its rate of 1000 is
# 500 here. Beyond one sample per class, its settings are those of MTT.
_TABLES = dict(
    mtt=_CIFAR,
    ftd=_CIFAR | {50: (30, 40, 1000.0, 1e-5, 0.01)},
    tesla=_CIFAR | {1: (50, 5, 500.0, 1e-7, 0.01)},
    datm={
        1: (80, 4, 100.0, 1e-7, 0.01),
        10: (80, 20, 100.0, 1e-5, 0.01),
        50: (80, 40, 1000.0, 1e-5, 0.01),
        500: (40, 60, 50.0, 1e-5, 0.01),
        1000: (100, 60, 50.0, 1e-5, 0.01)
    })
# FTD's weight of the surrogate gap, and decay of the samples' average.
_FLAT = {1: (0.3, 0.9999), 10: (0.3, 0.9995), 50: (1.0, 0.999)}
# DATM: lowest start epoch, first upper bound, steps until the last bound, batch
# size of the student, learning rate of labels, loss above which a step is
# skipped.
_ALIGNED = {
    1: (0, 4, 1, 0, 5.0, 1.1),
    10: (0, 10, 1_000, 0, 2.0, 1.0),
    50: (0, 20, 2_000, 0, 2.0, 1.0),
    500: (40, 60, 1, 1_000, 10.0, 1.0),
    1000: (40, 60, 1, 1_000, 10.0, 1.0)
}
# Ten steps of the student cover an epoch of the experts, of about twenty steps.
_QUICK = dict(
    experts=dict(num=2, num_epochs=6),
    segment=dict(lowest=0, first=2, highest=4, until=20),
    student=dict(num_steps=10, batch_size=0),
    step_size=0.1,
    num_steps=30,
    recipe=dict(num_epochs=60))


def _row(table: Mapping[int, Any], per_class: int):
  """The settings for a number of samples per class, or the next smaller one."""
  return table[max(size for size in table if size <= per_class)]


def _zca(sizes: tuple[int, ...], per_class: int, traits: Traits) -> str:
  """The published whitening of CIFAR-10, by samples per class."""
  colour = traits.channels == 3 and traits.side == 32
  size = max(n for n in (1, 10, 50) if n <= per_class)
  return "zca" if colour and size in sizes else ""


def _published(name: str, per_class: int, traits: Traits, given) -> dict:
  del given
  steps, highest, rate, step_size_rate, step_size = _row(
      _TABLES[name], per_class)
  return dict(
      strategy=traits.strategy,
      schedule="constant",
      learning_rate=rate,
      label_learning_rate=0.01,
      optimizer="sgd",
      beta1=0.5,
      experts=dict(
          num=100,
          num_epochs=50,
          step_size=0.01,
          batch_size=256,
          strategy=traits.strategy),
      student=dict(num_steps=steps),
      segment=dict(span=2, lowest=0, first=highest, highest=highest),
      step_size=step_size,
      step_size_learning_rate=step_size_rate,
      num_steps=5_000,
      recipe=dict(name="mtt", num_epochs=1_000, strategy=traits.strategy))


def _published_ftd(per_class, traits, given):
  settings = _published("ftd", per_class, traits, given)
  gap, average = _row(_FLAT, per_class)
  settings["experts"] |= dict(radius=0.01, surrogate_gap=gap)
  return settings | dict(average=average)


def _published_tesla(per_class, traits, given):
  settings = _published("tesla", per_class, traits, given)
  settings["student"]["freeze"] = True
  return settings | dict(num_steps=10_000)


def _published_datm(per_class, traits, given):
  settings = _published("datm", per_class, traits, given)
  lowest, first, until, batch, rate, threshold = _row(_ALIGNED, per_class)
  settings["experts"] |= dict(num_epochs=100, radius=0.01, surrogate_gap=0.3)
  settings["segment"] |= dict(lowest=lowest, first=first, until=until)
  settings["student"]["batch_size"] = batch
  settings["recipe"]["name"] = "datm"
  return settings | dict(
      label_learning_rate=rate, skip_above=threshold, num_steps=10_000)


def start_epochs(s: SimpleNamespace) -> datm_lib.StartEpochs:
  """The schedule of start epochs of the experts' segments."""
  segment = s.segment
  grow = one_of(_GROWTH, "segment.growth", segment["growth"])
  return grow(
      segment["lowest"], segment["first"], segment["highest"], segment["until"])


def _built(s: SimpleNamespace, recipe: str = "mtt") -> Method:
  _check(s)
  logits = s.label_space == "logits"

  def objective(task: Task):
    return mtt_lib.trajectory_matching(
        task.model,
        num_steps=s.student["num_steps"],
        batch_size=s.student["batch_size"] or None,
        augmentation=augmented(s.strategy, task),
        loss=cross_entropy_of_logits if logits else cross_entropy,
        teacher=s.label_space == "probabilities",
        freeze=s.student["freeze"])

  def learned_as_it_is(begun: Distilled) -> Distilled:
    return begun._replace(raw_step_sizes=jnp.full((1,), s.step_size))

  return built(
      s,
      objective,
      recipe=dict(name=recipe, num_epochs=300, strategy=None),
      begin=start(
          s,
          names=STARTS | {"correct": STARTS["real"]},
          change=learned_as_it_is,
          saved=False),
      rates=dict(step_sizes=s.step_size_learning_rate),
      estimator=partial(backprop, positive=lambda raw: raw),
      label_space=s.label_space,
      constraint=step_size_floor(s.step_size_floor),
      skip_above=s.skip_above or None,
      spike=s.spike,
      rollbacks=s.rollbacks,
      prepare=partial(prepare, s))


def _check(s: SimpleNamespace) -> None:
  datm_lib.check_span(
      start_epochs(s), s.segment["span"], s.experts["num_epochs"])
  one_of(("logits", "probabilities", "raw"), "label_space", s.label_space)
  one_of(buffer.DTYPES, "experts.dtype", s.experts["dtype"])
  if s.learn_labels and s.label_space == "probabilities":
    raise ConfigError(
        "`learn_labels` must be off with `label_space` probabilities, which "
        "are a teacher's; got True. Learn logits.")


def prepare(
    s: SimpleNamespace, key: Array, task: Task, store: Store) -> Prepared:
  """Opens experts; prepares their feed and the start that they define."""
  opened = experts_of(s, task, store)
  key, k_feed = jax.random.split(key)
  feed = Feed(
      opened,
      seed=int(jax.random.bits(k_feed, dtype=jnp.uint32)),
      span=s.segment["span"],
      epochs=start_epochs(s))
  finish = Prepared().finish
  if s.label_space == "probabilities":
    epoch = start_epochs(s).last_target(s.segment["span"])
    finish = partial(_taught, s, task, opened, epoch)
  return Prepared(
      feed=feed,
      start=partial(_start, s, key, task, opened),
      finish=finish,
      measured=measured(opened))


def experts_of(s: SimpleNamespace, task: Task, store: Store) -> buffer.Buffer:
  """Opens the experts of a run; first trains those that its folder lacks."""
  folder = store.experts
  if folder is None:
    folder = store.shared / "experts" / _name(s, task)
    train(s, task, folder, store.say)
  return open_experts(s, task, Path(folder), s.experts["num"])


def measured(opened: buffer.Buffer) -> dict[str, Any]:
  """Facts about the experts for the report."""
  return dict(
      experts=dict(
          num=opened.num_experts,
          num_epochs=opened.num_epochs,
          accuracy=opened.accuracy,
          seconds=[d["about"].get("seconds") for d in opened.documents]))


def experts_for(source, method: Method, network, folder: Path, say):
  """Trains the experts of a method that a folder lacks, and opens them.

  Args:
    source: the data.
    method: a method with a setting `experts`.
    network: the student, as in `methods.plan`.
    folder: the folder of the experts.
    say: a function that is given each line of progress, such as `print`.

  Returns:
    A `trajectories.buffer.Buffer`.

  Raises:
    ConfigError: the method uses no experts.
    WorkdirError: the folder has experts of other data, networks or recipes.
  """
  if "experts" not in method.settings:
    raise ConfigError(
        "`method` must follow experts: mtt, ftd, tesla, datm or tgdd; got "
        f"{method.name}.")
  spec, model = student_of(source, method, network)
  nothing: Any = None  # experts need no layout
  task = Task(source, model, spec, nothing)
  s = SimpleNamespace(**method.settings)
  train(s, task, folder, say)
  return open_experts(s, task, folder, s.experts["num"])


def train(s: SimpleNamespace, task: Task, folder: Path, say) -> None:
  """Trains the experts that a folder lacks; saves each one when finished."""
  folder.mkdir(parents=True, exist_ok=True)
  with storage.alone(folder, "experts"):
    storage.forget_halves(folder, "expert_*")
    there = buffer.numbers(folder)
    wanted = [i for i in range(s.experts["num"]) if i not in there]
    if wanted and there:  # raises if existing experts differ
      open_experts(s, task, folder, num_experts=None)
    if wanted:
      _train(s, task, folder, wanted, say)
  processes.wait()


def _train(s, task: Task, folder: Path, numbers: list[int], say) -> None:
  experts = SimpleNamespace(**s.experts)
  source, identity = task.source, _identity(s, task)
  if isinstance(source.preprocessing, preprocessing.ZCA):
    source = source.encoded()  # encoding is slow, and the result fits
  on_cpu = jax.default_backend() == "cpu"
  at_once = experts.at_once or (1 if on_cpu else 10)
  began = time.perf_counter()

  def report(first, epoch, accuracies):
    group = numbers[first:first + at_once]
    names = ", ".join(str(number + 1) for number in group)
    right = ", ".join(f"{100 * accuracy:.1f} %" for accuracy in accuracies)
    say(
        f"expert {names} of {experts.num}: epoch {epoch}/"
        f"{experts.num_epochs}  {right}")

  rule = plain
  if experts.radius:
    rule = flat_minima(experts.radius, surrogate_gap=experts.surrogate_gap)
  key = jax.random.key(experts.seed)
  trained = each_expert(
      jnp.stack([jax.random.fold_in(key, number) for number in numbers]),
      task.model,
      source.train,
      num_epochs=experts.num_epochs,
      step_size=experts.step_size,
      momentum=experts.momentum,
      weight_decay=experts.weight_decay,
      batch_size=experts.batch_size or _batch(source.train.num_samples),
      augmentation=augmented(experts.strategy, task),
      gradient_rule=rule,
      held_out=source.validation or source.test,
      on_epoch=report,
      at_once=at_once)
  for place, (number, expert) in enumerate(zip(numbers, trained, strict=True)):
    there = min((place // at_once + 1) * at_once, len(numbers))
    seconds = (time.perf_counter() - began) / there
    buffer.save_expert(
        folder,
        number,
        expert,
        like=_like(task),
        identity=identity,
        dtype=experts.dtype,
        about=dict(
            seconds=round(seconds, 1),
            held_out="test" if source.validation is None else "validation"))


def _batch(num_samples: int) -> int:
  """A batch size that gives about twenty steps per epoch, if possible."""
  return min(max(num_samples // 20, 16), 256, num_samples)


def open_experts(
    s: SimpleNamespace, task: Task, folder: Path,
    num_experts: int | None) -> buffer.Buffer:
  """Opens the experts of a folder, which must match the settings.

  Args:
    s: settings of the method.
    task: the data and the network.
    folder: the folder of the experts.
    num_experts: number of experts to open, the first ones; None for all.
  """
  return buffer.open_buffer(
      folder,
      like=_like(task),
      identity=_identity(s, task),
      num_experts=num_experts)


def _start(s, key, task: Task, opened: buffer.Buffer, begun: Distilled):
  """The start with samples and labels from experts, if the settings ask so."""
  method = parameterization_of(s.parameterization)
  classes = task.layout.classes

  def last():
    return _experts(key, task, opened, opened.num_epochs)

  if s.start == "correct":
    begun = begun._replace(
        codes=agreement.from_correct(
            key,
            task.source,
            method,
            last(),
            task.model,
            num_samples=len(classes),
            step_size=None).codes)
  if s.label_space == "logits":
    begun = agreement.with_logits(begun, method, last(), task.model, classes)
  return begun


def _taught(s, task: Task, opened, epoch: int, distilled: Distilled):
  """The set with labels that the experts give it at the last target epoch."""
  return agreement.with_probabilities(
      distilled, parameterization_of(s.parameterization),
      _experts(jax.random.key(0), task, opened, epoch), task.model)


def _experts(key, task: Task, opened, epoch: int) -> Iterator[PyTree]:
  """The variables of each expert after an epoch."""
  return opened.variables(epoch, task.model.init(key, task.source.example))


def _like(task: Task) -> PyTree:
  return jax.eval_shape(
      task.model.init, jax.random.key(0), task.source.example)["params"]


def _identity(s: SimpleNamespace, task: Task) -> dict:
  """Everything that the training of an expert depends on."""
  recipe = {k: v for k, v in s.experts.items() if k not in _OUTSIDE}
  return json.loads(
      json.dumps(
          dict(
              data=task.source.fingerprint(),
              network=models.identity(
                  task.spec, task.model, task.source.example),
              preprocessing=preprocessing.identity(task.source.preprocessing),
              recipe=recipe)))


def _name(s: SimpleNamespace, task: Task) -> str:
  """A folder name that is equal for equal experts."""
  text = json.dumps([_identity(s, task), s.experts["dtype"]], sort_keys=True)
  return f"{zlib.crc32(text.encode()):08x}"


@declare(
    _MTT,
    paper="Cazenavette et al., Dataset Distillation by Matching Training "
    "Trajectories, 2022, arXiv 2203.11932",
    loss="distance to the experts' parameters",
    cost="backpropagation through the student's steps",
    needs="experts trained on the real data",
    published=partial(_published, "mtt"),
    quick=_QUICK,
    preprocessing=partial(_zca, (1, 10)))
def mtt(s: SimpleNamespace) -> Method:
  """Matches the trajectory of networks that are trained on the real data."""
  return _built(s)


@declare(
    _MTT |
    dict(average=0.9, experts=EXPERTS | dict(radius=0.01, surrogate_gap=0.3)),
    paper="Du et al., Minimizing the Accumulated Trajectory Error to Improve "
    "Dataset Distillation, 2023, arXiv 2211.11004",
    loss="distance to the experts' parameters",
    cost="backpropagation through the student's steps",
    needs="experts trained to flat minima on the real data",
    published=_published_ftd,
    quick=_QUICK,
    preprocessing=partial(_zca, (1, 10, 50)))
def ftd(s: SimpleNamespace) -> Method:
  """As `mtt`, with experts in flat minima and averaged distilled samples."""
  return _built(s)


@declare(
    _MTT | dict(student=_MTT["student"] | dict(freeze=True)),
    paper="Cui et al., Scaling Up Dataset Distillation to ImageNet-1K with "
    "Constant Memory, 2023, arXiv 2211.10586",
    loss="distance to the experts' parameters",
    cost="that of mtt, with a cheaper backward pass",
    needs="experts trained on the real data",
    published=_published_tesla,
    quick=_QUICK,
    preprocessing=partial(_zca, (10,)))
def tesla(s: SimpleNamespace) -> Method:
  """As `mtt`, with an approximate gradient that needs less memory."""
  return _built(s)


@declare(
    _DATM,
    paper="Guo et al., Towards Lossless Dataset Distillation via "
    "Difficulty-Aligned Trajectory Matching, 2023, arXiv 2310.05773",
    loss="distance to the experts' parameters",
    cost="backpropagation through the student's steps",
    needs="experts trained on the real data",
    published=_published_datm,
    quick=_QUICK,
    preprocessing=partial(_zca, (1, 10, 50)))
def datm(s: SimpleNamespace) -> Method:
  """As `mtt`, with soft labels, from early to late parts of training."""
  return _built(s, recipe="datm")
