"""Teachers: one network per method, trained on the real data or given.

A trained teacher is kept in the shared folder of runs, under a name that
depends on everything that it was trained from. Methods and budgets that are
compared therefore use the same teacher.
"""

import json
import time
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from distill_jax import artifact as artifacts
from distill_jax import models, preprocessing, schema, storage
from distill_jax.checkpoint import Checkpoints
from distill_jax.errors import ConfigError
from distill_jax.evaluation.evaluator import classify
from distill_jax.evaluation.full_data import trainer
from distill_jax.evaluation.learners import classifier
from distill_jax.methods.method import Store, Task
from distill_jax.methods.shared import augmented
from distill_jax.types import Array, Network, PyTree

# Settings of a teacher. `network` None is the student's architecture; `file` is
# a saved set that stores its teacher.
TEACHER = dict(
    network=None,
    num_epochs=10,
    batch_size=128,
    learning_rate=0.003,
    strategy=None,
    file="")


class Teacher(NamedTuple):
  """A trained network.

  Attributes:
    spec: specification of the network; {} for a user's own network.
    network: the network.
    variables: its weights and statistics.
    measured: JSON values: accuracy on held-out data, seconds.
  """

  spec: dict[str, Any]
  network: Network
  variables: PyTree
  measured: dict[str, Any]

  @property
  def apply(self) -> Callable[[PyTree, Array], Array]:
    """`(variables, inputs [B, ...]) -> logits [B, K]`, in inference mode."""
    return lambda variables, inputs: self.network.apply(variables, inputs)[0]


def network_of(s: SimpleNamespace, task: Task) -> tuple[dict, Network]:
  """The teacher's specification and network; by default the student's."""
  given = s.teacher["network"]
  if given is None:
    return dict(task.spec), task.model
  network = models.from_spec(given, task.source.num_classes)
  models.check_fits(network, task.source)
  return models.spec_of(network), network


def teacher_of(
    s: SimpleNamespace, key: Array, task: Task, store: Store) -> Teacher:
  """Returns the teacher of the settings; trains it unless it was saved.

  Args:
    s: settings with an entry `teacher`.
    key: key of the training.
    task: the data and the student.
    store: folders in which teachers are kept.

  Raises:
    ConfigError: a given teacher does not fit the data or the network.
  """
  spec, network = network_of(s, task)
  like = jax.eval_shape(network.init, key, task.source.example)
  if s.teacher["file"]:
    found = _given(s.teacher["file"], spec, like, task)
    return Teacher(spec, network, found, dict(file=s.teacher["file"]))
  folder = store.shared / "teachers" / _name(s, key, task, spec, network)
  folder.mkdir(parents=True, exist_ok=True)
  with storage.alone(folder, "teacher"):
    files = Checkpoints(folder, keep=1)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    variables = files.sound(1, zeros)
    if variables is not None:
      return Teacher(spec, network, variables, files.extra(1))
    store.say(f"training the teacher, {s.teacher['num_epochs']} epochs")
    variables, measured = _trained(s, key, task, network, store.say)
    files.save(1, variables, measured)
  return Teacher(spec, network, variables, measured)


def _trained(s, key, task: Task, network, say) -> tuple[PyTree, dict[str, Any]]:
  settings, source = s.teacher, task.source
  began = time.perf_counter()
  found = trainer(
      network,
      source,
      num_epochs=settings["num_epochs"],
      batch_size=settings["batch_size"],
      learning_rate=settings["learning_rate"],
      augmentation=augmented(settings["strategy"], task))(
          key)
  seconds = round(time.perf_counter() - began, 1)
  sound = [
      jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found.variables)
  ]
  if not all(sound):
    raise ConfigError(
        "`teacher.learning_rate` must be lower: the teacher diverged; got "
        f"{settings['learning_rate']}.")
  name = "test" if source.validation is None else "validation"
  held_out = source.validation or source.test
  measured = dict(seconds=seconds)
  if held_out is not None:
    right = jax.jit(
        lambda variables, split:
        (classify(classifier(network, variables), split) == split.labels).mean(
        ))(found.variables, held_out)
    measured |= dict(accuracy=round(float(right), 4), held_out=name)
    say(f"the teacher reaches {100 * measured['accuracy']:.1f} % on {name}")
  return found.variables, measured


def _given(file: str, spec, like: PyTree, task: Task) -> PyTree:
  """Reads the teacher that a set stores; it must fit network and data."""
  made = artifacts.load(file)
  if "teacher" not in (made.views or ()):
    raise ConfigError(
        f"`teacher.file` must name a set that keeps its teacher; {file} does "
        "not. Distil it with keep_teacher=True.")
  if not preprocessing.alike(task.source.preprocessing, made.preprocessing):
    raise ConfigError(
        "`teacher.file` must be of the run's own preprocessing; that of "
        f"{file} is another. Take its data, `preprocessing`, "
        "`validation_fraction` and `seed`.")
  if made.class_names != tuple(task.source.class_names):
    raise ConfigError(
        "`teacher.file` must be of the run's classes, in their order; those "
        f"of {file} are others.")
  theirs = made.provenance.get("teacher", {}).get("network") or {}
  variables = schema.poured(made.views["teacher"], like)
  if variables is None or (theirs and spec and theirs != spec):
    raise ConfigError(
        f"`teacher.file` must be of the teacher's network; that of {file} is "
        f"another, {theirs or 'of other weights'}. Name it in "
        "`teacher.network`.")
  return jax.tree.map(jnp.asarray, variables)


def _name(s, key, task: Task, spec, network) -> str:
  """A folder name that is equal for equal teachers."""
  source = task.source
  text = json.dumps([
      source.fingerprint(),
      models.identity(spec, network, source.example),
      preprocessing.identity(source.preprocessing), s.teacher,
      [int(part) for part in jax.random.key_data(key)]
  ],
                    sort_keys=True)
  return f"{zlib.crc32(text.encode()):08x}"
