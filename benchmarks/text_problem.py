"""The TDD problem that the text benchmarks share.

Six classes, sentences of random words with random vectors of 100 numbers; the
time of a step does not depend on what they say. No dropout, so that both sides
of a comparison compute the same.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from distill_jax import data, initialisation, nn
from distill_jax.data.corpus import from_texts
from distill_jax.estimators.backprop import backprop
from distill_jax.objectives.dd import unrolled
from distill_jax.outer_loop import Distiller, State, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.text.vectors import Vectors
from distill_jax.types import Distilled, Estimator, Network

NUM_CLASSES, DIM, NUM_WORDS = 6, 100, 2_000
STEP_SIZE, LEARNING_RATE = 0.1, 0.01
NETWORKS = {
    "text_convnet": lambda: nn.text_convnet(NUM_CLASSES, dropout=0.0),
    "bi_lstm": lambda: nn.bi_lstm(NUM_CLASSES),
}


class Problem(NamedTuple):
  """One configuration, ready to take outer steps.

  Attributes:
    network: the student.
    source: random texts.
    order: [S, n].
    distilled: where the set starts.
    estimator: of the meta-gradient.
    distiller: the outer loop's functions.
    state: before the first step.
  """

  network: Network
  source: Any
  order: np.ndarray
  distilled: Distilled
  estimator: Estimator
  distiller: Distiller
  state: State


def problem(
    name: str,
    *,
    length: int,
    num_steps: int,
    num_epochs: int,
    batch_size: int,
    fixed: bool = False,
) -> Problem:
  """TDD with six sentences a step.

  Args:
    name: of the network, among `NETWORKS`.
    length: words of a sentence.
    num_steps: S.
    num_epochs: E.
    batch_size: B, real sentences in an outer step.
    fixed: one theta_0 in `state.objective` instead of a fresh one each step.
  """
  source = _source(length, batch_size)
  network, size = NETWORKS[name](), NUM_CLASSES * num_steps
  order = np.asarray(initialisation.step_order(size, num_steps))
  objective = unrolled(
      network, order, sample=data.mixed(batch_size), num_classes=NUM_CLASSES,
      fixed=fixed,
  )
  estimator = backprop(objective, pixels())
  adam = optax.adam(LEARNING_RATE)
  outer = distiller(
      estimator, learn(codes=adam, labels=adam, step_sizes=adam)
  )
  k_start, k_state = jax.random.split(jax.random.key(0))
  distilled = initialisation.from_noise(
      k_start, source, pixels(), num_samples=size, num_steps=num_steps,
      num_epochs=num_epochs, step_size=STEP_SIZE,
  )
  return Problem(
      network, source, order, distilled, estimator, outer,
      outer.init(k_state, distilled),
  )


def _source(length: int, batch_size: int):
  generator = np.random.default_rng(0)
  words = np.array([f"word{i}" for i in range(NUM_WORDS)])
  number = max(2 * batch_size, 2 * NUM_CLASSES)
  texts = [" ".join(row) for row in generator.choice(words, (number, length))]
  table = generator.normal(size=(NUM_WORDS, DIM)).astype(np.float32)
  return from_texts(
      texts, np.arange(number) % NUM_CLASSES, tokens="spaces", length=length,
      vectors=Vectors(tuple(words.tolist()), table, "random"), test_fraction=0,
  )
