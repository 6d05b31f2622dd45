"""The SLDD problem that several benchmarks share.

LeNet, ten distilled images of 28 x 28 in one step, E epochs over it; samples,
labels and step sizes are learned with Adam. Real data are random uint8 images:
the time of a step does not depend on what they show.
"""

from typing import NamedTuple

import jax
import numpy as np
import optax

from distill_jax import data, initialisation, nn
from distill_jax.estimators.backprop import backprop
from distill_jax.objectives.dd import unrolled
from distill_jax.outer_loop import Distiller, State, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.preprocessing import Standardise
from distill_jax.types import Distilled, Estimator, Network

NUM_CLASSES = 10
NUM_IMAGES = 10
SHAPE = (28, 28, 1)
MEAN, STD = 0.1307, 0.3081
STEP_SIZE = 0.02
LEARNING_RATE = 0.01


class Problem(NamedTuple):
  """One configuration, ready to take outer steps.

  Attributes:
    network: LeNet.
    distilled: where the set starts.
    estimator: of the meta-gradient.
    distiller: the outer loop's functions.
    state: before the first step.
  """

  network: Network
  distilled: Distilled
  estimator: Estimator
  distiller: Distiller
  state: State


def random_split(num_images: int, *, key: int = 0) -> data.Split:
  """Random images [num_images, 28, 28, 1] uint8 and random classes.

  Args:
    num_images: at least 10; the first ten show each class once.
    key: of the host's generator.
  """
  generator = np.random.default_rng(key)
  images = generator.integers(0, 256, (num_images, *SHAPE), np.uint8)
  classes = generator.integers(0, NUM_CLASSES, num_images)
  classes[:NUM_CLASSES] = np.arange(NUM_CLASSES)
  record = Standardise(np.float32([MEAN]), np.float32([STD]))
  return data.from_arrays(
      images, classes, preprocessing=record, test_fraction=0
  ).train


def problem(
    *,
    num_epochs: int,
    batch_size: int,
    fixed: bool = False,
    remat: bool = True,
) -> Problem:
  """SLDD with S x E = 1 x `num_epochs`.

  Args:
    num_epochs: E, here the inner steps T too.
    batch_size: B, real images in an outer step.
    fixed: one theta_0 in `state.objective` instead of a fresh one each step.
    remat: see `inner_loop.train_in_order`.
  """
  network = nn.lenet(NUM_CLASSES)
  objective = unrolled(
      network, initialisation.step_order(NUM_IMAGES, 1),
      sample=data.mixed(batch_size), num_classes=NUM_CLASSES,
      fixed=fixed, remat=remat,
  )
  estimator = backprop(objective, pixels())
  adam = optax.adam(LEARNING_RATE)
  outer = distiller(
      estimator, learn(codes=adam, labels=adam, step_sizes=adam)
  )
  k_inputs, k_codes, k_state = jax.random.split(jax.random.key(0), 3)
  distilled = initialisation.start(
      k_codes, initialisation.noise(k_inputs, NUM_IMAGES, SHAPE),
      initialisation.one_hot(np.arange(NUM_IMAGES), NUM_CLASSES), pixels(),
      step_size=STEP_SIZE, num_inner_steps=num_epochs,
  )
  state = outer.init(k_state, distilled)
  return Problem(network, distilled, estimator, outer, state)
