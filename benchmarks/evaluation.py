"""Evaluates many networks: one compiled call against a loop over networks.

LeNet trained on 100 samples in 10 x 3 steps and tested on random images. Both
sides run the same learner with the same keys, and must have the same numbers of
correct predictions. The loop calls one jitted network after another from
Python. Bar: the one call is not slower.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import timing
from unrolled import NUM_CLASSES, SHAPE, STEP_SIZE, random_images

from distill_jax import initialisation, nn
from distill_jax.evaluation.evaluator import evaluate_set, outcome_on
from distill_jax.evaluation.learners import student
from distill_jax.labels import classes_of_labels
from distill_jax.types import Network, Samples, TrainingSet

BAR = 1.0
NUM_SAMPLES, NUM_BATCHES, NUM_EPOCHS = 100, 10, 3


def main(argv=None) -> None:
  parser = timing.parser(__doc__, num_networks=200, num_test=10_000)
  options = parser.parse_args(argv)
  if options.num_test < NUM_CLASSES:
    parser.error(
        f"`num_test` must be at least {NUM_CLASSES}; got {options.num_test}.")
  one_call, loop = candidates(
      nn.lenet(NUM_CLASSES), options.num_networks, options.num_test)
  if not np.array_equal(one_call(), loop()):
    print("note: some predictions differ between the two, by rounding.")
  row = timing.compare(options, BAR, one_call=one_call, loop=loop)
  row = {"networks": options.num_networks, **row}
  timing.report("evaluation", options, [row])


def candidates(network: Network, num_networks: int, num_test: int):
  """Two functions `() -> confusion matrices [R, K, K]`: one call, and a loop.
  """
  k_inputs, k_labels, key = jax.random.split(jax.random.key(0), 3)
  training_set = TrainingSet(
      Samples(
          initialisation.noise(k_inputs, NUM_SAMPLES, SHAPE),
          initialisation.noise_labels(k_labels, NUM_SAMPLES, NUM_CLASSES),
          jnp.full((NUM_BATCHES * NUM_EPOCHS,), STEP_SIZE)),
      initialisation.step_order(NUM_SAMPLES, NUM_BATCHES))
  learner, split = student(network), random_images(num_test).train
  keys = [jax.random.fold_in(key, i) for i in range(num_networks)]

  @jax.jit
  def alone(key, training_set, split):
    predict = learner.fit(key, training_set)
    samples = training_set.samples
    on_set = predict(samples.inputs) == classes_of_labels(samples.labels)
    return outcome_on(predict, split), on_set.mean()

  def loop():
    results = [jax.device_get(alone(k, training_set, split)) for k in keys]
    return np.stack([confusion for (confusion, _), _ in results])

  run = partial(
      evaluate_set,
      key,
      training_set,
      split,
      learner=learner,
      num_networks=num_networks)
  return lambda: run().confusion, loop


if __name__ == "__main__":
  main()
