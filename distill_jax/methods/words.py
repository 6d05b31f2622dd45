"""Text sets that end as real words.

After distilling, each round replaces the vectors by those of the nearest words,
and then learns labels and step sizes for these words. Between two rounds the
vectors are learned again. Every part is a plan of its own.
"""

from collections.abc import Callable
from types import SimpleNamespace

import jax
from flax.errors import FlaxError

from distill_jax.errors import ConfigError, plain
from distill_jax.methods.method import Method, Plan, Task, plan
from distill_jax.methods.outer import learned
from distill_jax.text.embedding import WordVectors
from distill_jax.text.words import snap


def snapped(method: Method, s: SimpleNamespace) -> Method:
  """Makes a method whose sets end as words.

  Args:
    method: a method that stores sentences as they are (pixels).
    s: its settings, with `snap` rounds of `snap_steps` outer steps.
  """
  held = SimpleNamespace(**vars(s) | dict(learn_codes=False))
  rates = dict(step_sizes=s.step_size_learning_rate)

  def parts(whole: Plan, carry_out):
    elementary = method._replace(name=whole.method.name)
    outcomes = [carry_out("vectors", whole._replace(method=elementary))]

    def learn_on(name, distilled, codes: bool):
      part = elementary._replace(
          num_steps=s.snap_steps,
          learned=learned(s if codes else held, **rates))
      key = jax.random.fold_in(whole.keys.parts, len(outcomes))
      outcomes.append(
          carry_out(
              name,
              plan(
                  whole.task.source,
                  part,
                  whole.task.spec or whole.task.model,
                  num_rows=len(whole.task.layout.classes),
                  keys=whole.keys._replace(run=key),
                  store=whole.store,
                  start=distilled)))
      return outcomes[-1].distilled

    distilled = outcomes[0].distilled
    for number in range(1, s.snap + 1):
      if number > 1:
        distilled = learn_on(f"{number}_vectors", distilled, codes=True)
      whole.store.say(
          f"round {number} of {s.snap}: words in place of vectors, learning "
          "labels and step sizes for them")
      codes = snap(whole.task.source.preprocessing, distilled.codes)
      distilled = learn_on(
          f"{number}_words", distilled._replace(codes=codes), codes=False)
    return outcomes[-1]._replace(
        seconds=sum(outcome.seconds for outcome in outcomes),
        measured=outcomes[0].measured)

  def check(task: Task) -> None:
    method.check(task)
    if not isinstance(task.source.preprocessing, WordVectors):
      raise ConfigError(
          f"`snap` must be 0 for data that are no word vectors; got {s.snap}.")

  return method._replace(parts=parts, check=check, prolongable=False)


def cut(begin: Callable, length: int) -> Callable:
  """A start whose sentences have `length` words."""

  def shorter(key, source, num_rows):
    begun = begin(key, source, num_rows)
    if getattr(begun.codes, "ndim", 0) != 3 or length > begun.codes.shape[1]:
      raise ConfigError(
          "`sample_length` must be at most the length of real sentences, "
          f"{source.example.shape[1]}, and of pixels; got {length}.")
    return begun._replace(codes=begun.codes[:, :length])

  return shorter


def check_length(s: SimpleNamespace, task: Task) -> None:
  """Refuses distilled sentences that are too short for the network."""
  if not s.sample_length:
    return
  variables = jax.eval_shape(
      task.model.init, jax.random.key(0), task.source.example)
  try:
    jax.eval_shape(
        task.model.apply, variables, task.source.example[:, :s.sample_length])
  except (TypeError, ValueError, FlaxError) as error:
    raise ConfigError(
        f"`sample_length` must suit the network; got {s.sample_length}: "
        f"{plain(error, 150)}") from None
