"""SLDD and TDD problems, and one outer step of each against PyTorch.

SLDD: LeNet, ten distilled images of 28 x 28 in one step, E epochs. TDD: six
classes, sentences of random words with random vectors of 100 numbers, without
dropout. Adam learns samples, labels and step sizes. Real data are random: the
time of a step does not depend on them.
"""

import jax
import numpy as np
import steps
import timing

from distill_jax import data, methods, nn
from distill_jax.data.corpus import from_texts
from distill_jax.methods.method import Plan
from distill_jax.preprocessing import Standardise
from distill_jax.text.vectors import Vectors

BAR = 1.1
NUM_CLASSES, SHAPE = 10, (28, 28, 1)
MEAN, STD = 0.1307, 0.3081
STEP_SIZE, LEARNING_RATE = 0.02, 0.01
NUM_KINDS, DIM, NUM_WORDS = 6, 100, 2_000  # classes, vector size, vocabulary
_COMMON = dict(
    learning_rate=LEARNING_RATE,
    label_learning_rate=LEARNING_RATE,
    step_size_learning_rate=LEARNING_RATE,
    schedule="constant",
    clip_norm=0.0,
    start="noise")


def random_images(num_images: int) -> data.Source:
  """At least ten random uint8 images; the first ten show each class once."""
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (num_images, *SHAPE), np.uint8)
  classes = generator.integers(0, NUM_CLASSES, num_images)
  classes[:NUM_CLASSES] = np.arange(NUM_CLASSES)
  record = Standardise(np.float32([MEAN]), np.float32([STD]))
  return data.from_arrays(
      images, classes, preprocessing=record, test_fraction=0)


def random_texts(num_texts: int, length: int) -> data.Source:
  """Sentences of random words."""
  generator = np.random.default_rng(0)
  words = np.array([f"word{i}" for i in range(NUM_WORDS)])
  drawn = generator.choice(words, (num_texts, length))
  table = generator.normal(size=(NUM_WORDS, DIM)).astype(np.float32)
  texts, classes = map(" ".join, drawn), np.arange(num_texts) % NUM_KINDS
  vectors = Vectors(tuple(words.tolist()), table, "random")
  settings = dict(tokens="spaces", length=length, vectors=vectors)
  return from_texts(list(texts), classes, **settings, test_fraction=0)


def sldd(source, num_epochs: int, batch_size: int, fixed=False) -> Plan:
  """SLDD with S x E = 1 x `num_epochs`; `fixed` keeps one theta_0."""
  settings = dict(epochs=num_epochs, batch_size=batch_size, fixed=fixed)
  method = methods.sldd(**_COMMON, **settings, step_size=STEP_SIZE)
  network = nn.lenet(NUM_CLASSES)
  return steps.planned(source, method, network, num_rows=NUM_CLASSES)


def tdd(name, length, num_steps, num_epochs, batch_size, fixed=False) -> Plan:
  """TDD with S x E steps of six sentences of `length` words.

  `name` is "text_convnet" or "bi_lstm".
  """
  settings = dict(epochs=num_epochs, batch_size=batch_size, fixed=fixed)
  method = methods.tdd(**_COMMON, **settings, steps=num_steps, step_size=0.1)
  network = nn.bi_lstm(NUM_KINDS)
  if name == "text_convnet":
    network = nn.text_convnet(NUM_KINDS, dropout=0.0)
  size = NUM_KINDS * num_steps
  source = random_texts(max(2 * batch_size, size), length)
  return steps.planned(source, method, network, num_rows=size)


def gradient_difference(name: str, plan: Plan, device) -> float:
  """`steps.difference` of our gradients and PyTorch's, at a fixed theta_0."""
  import unrolled_torch

  batch = plan.estimator.sample(jax.random.key(1), plan.task.source.train)
  steps.allow_tf32(False)
  theirs = unrolled_torch.gradients(name, plan, batch, device)
  steps.allow_tf32(True)
  return steps.difference(steps.gradient(plan, batch)._asdict(), theirs)


def compared(name: str, problem, device, options) -> dict:
  """Columns of a result; `problem` is `(batch_size, fixed) -> Plan`."""
  size, num_steps = options.batch_size, options.num_steps
  plan, row, theirs = problem(batch_size=size), {}, None
  if device is not None:
    import unrolled_torch

    row["difference"] = gradient_difference(
        name, problem(batch_size=size, fixed=True), device)
    theirs = unrolled_torch.trainer(name, plan, size, num_steps, device)
  ours = steps.stepper(plan, num_steps)
  return row | timing.compare(options, BAR, num_steps, ours=ours, torch=theirs)
