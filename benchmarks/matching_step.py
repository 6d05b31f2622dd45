"""One outer step of DC and of DM, and DC's inner epoch, against PyTorch.

ConvNet of depth 3, ten classes of 32 x 32 x 3 images with ten samples each, 256
real images a class; a fresh network and fresh real batches every step. The
other side is written as the published code is, a Python loop over classes. Both
first have to agree on a gradient. Bar: ours takes at most 1.1 times as long on
CPU, at most 0.25 times on an accelerator. Without PyTorch only ours is timed.
"""

import agreement
import jax
import jax.numpy as jnp
import numpy as np
import optax
import timing
from sldd_step import find_torch

from distill_jax import data, initialisation, nn
from distill_jax.environment import platform
from distill_jax.estimators.backprop import backprop
from distill_jax.inner_loop import train_epochs
from distill_jax.objectives.dc import gradient_matching
from distill_jax.objectives.dm import distribution_matching
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parameterization.pixels import pixels
from distill_jax.preprocessing import Standardise
from distill_jax.types import Batch, Distilled, Samples

BARS = {"cpu": 1.1, "accelerator": 0.25}
CLASSES, SHAPE = 10, (32, 32, 3)
RATES = {"dc": 0.1, "dm": 1.0}
INNER_RATE = 0.01


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument("--width", type=timing.positive, default=128)
  parser.add_argument("--samples_per_class", type=timing.positive, default=10)
  parser.add_argument("--batch_size", type=timing.positive, default=256)
  parser.add_argument("--num_real", type=timing.positive, default=512)
  options = parser.parse_args(argv)
  if options.num_real < options.batch_size:
    parser.error(
        f"`num_real` must be at least `batch_size`; got {options.num_real}."
    )
  torch_device = find_torch()
  rows = [
      _measure(work, torch_device, options) for work in ("dc", "dm", "epoch")
  ]
  timing.show(rows)
  timing.write("matching_step", options, rows)


def samples(samples_per_class: int) -> np.ndarray:
  """Random distilled images [K, m, 32, 32, 3]."""
  shape = (CLASSES, samples_per_class, *SHAPE)
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def real_images(num_real: int) -> np.ndarray:
  """Random real images [K, N, 32, 32, 3] uint8."""
  shape = (CLASSES, num_real, *SHAPE)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def objective(work: str, network, samples_per_class: int, sample):
  """DC with a fresh network in every step, or DM."""
  classes = np.repeat(np.arange(CLASSES), samples_per_class)
  members = initialisation.class_members(classes, CLASSES)
  if work == "dm":
    return distribution_matching(network, members, sample=sample)
  return gradient_matching(
      network, members, sample=sample, num_classes=CLASSES, steps_per_network=1
  )


def gradient_difference(work, width, samples_per_class, batch_size, device):
  """`agreement.difference` of the two gradients."""
  import matching_torch

  codes = samples(samples_per_class)
  network = nn.convnet(CLASSES, width=width)
  fixed = network.init(jax.random.key(1), jnp.zeros((1, *SHAPE)))
  network = network._replace(init=lambda key, example: fixed)
  images = real_images(batch_size).astype(np.float32) / 255
  labels = jnp.arange(CLASSES)[:, None] * jnp.ones((1, batch_size), jnp.int32)
  batch = Batch(jnp.asarray(images), labels)
  matched = objective(work, network, samples_per_class, lambda key, data: data)
  own = _samples(codes)
  state = matched.init(jax.random.key(0), own)

  @jax.jit
  @jax.grad
  def ours(inputs):
    return matched.loss(
        jax.random.key(0), own._replace(inputs=inputs), state, batch
    )[0]

  with jax.default_matmul_precision("highest"):
    found = np.asarray(ours(own.inputs)).reshape(codes.shape)
  theirs = matching_torch.gradient(
      work, fixed["params"], codes, images, device
  )
  return agreement.difference({work: found}, {work: theirs})


def _samples(codes: np.ndarray) -> Samples:
  classes = np.repeat(np.arange(CLASSES), codes.shape[1])
  return Samples(
      jnp.asarray(codes.reshape(-1, *SHAPE)),
      initialisation.one_hot(classes, CLASSES), jnp.zeros((0,)),
  )


def _measure(work, torch_device, options):
  ours = _epoch(options) if work == "epoch" else _step(work, options)
  candidates, row = {"ours": ours}, {"work": work}
  if torch_device is not None:
    import matching_torch

    codes = samples(options.samples_per_class)
    if work == "epoch":
      row["difference"] = "-"
      candidates["torch"] = matching_torch.epoch(
          codes, step_size=INNER_RATE, width=options.width,
          device=torch_device,
      )
    else:
      row["difference"] = gradient_difference(
          work, options.width, options.samples_per_class, options.batch_size,
          torch_device,
      )
      candidates["torch"] = matching_torch.stepper(
          work, codes, real_images(options.num_real),
          batch_size=options.batch_size, step_size=RATES[work],
          width=options.width, device=torch_device,
      )
  timed = timing.alternate(
      candidates, rounds=options.rounds, seconds=options.seconds
  )
  for name, seconds in timed.items():
    row[f"{name}_ms"] = timing.milliseconds(seconds)
    row[f"{name}_seconds"] = seconds
  if "torch" in timed:
    bar = BARS["cpu" if platform() == "cpu" else "accelerator"]
    row["ours/torch"] = timing.ratio(timed["ours"], timed["torch"])
    row["bar"], row["met"] = bar, row["ours/torch"] <= bar
    row["torch_device"] = torch_device.type
  return row


def _step(work, options):
  images = real_images(options.num_real).reshape(-1, *SHAPE)
  labels = np.repeat(np.arange(CLASSES), options.num_real)
  record = Standardise(np.zeros(3, np.float32), np.ones(3, np.float32))
  split = data.from_arrays(
      images, labels, preprocessing=record, test_fraction=0
  ).train
  network = nn.convnet(CLASSES, width=options.width)
  matched = objective(
      work, network, options.samples_per_class,
      data.per_class(options.batch_size),
  )
  outer = distiller(
      backprop(matched, pixels()),
      learn(codes=optax.sgd(RATES[work], momentum=0.5)),
  )
  own = _samples(samples(options.samples_per_class))
  key = jax.random.key(0)
  state = outer.init(key, Distilled(own.inputs, own.labels, jnp.zeros((0,))))
  return lambda: distill(key, state, split, step=outer.step, num_steps=1)


def _epoch(options):
  network = nn.convnet(CLASSES, width=options.width)
  own = _samples(samples(options.samples_per_class))
  variables = network.init(jax.random.key(0), own.inputs[:1])

  @jax.jit
  def train(key, variables, inputs, labels):
    return train_epochs(
        key, network, variables, inputs, labels,
        optimizer=optax.sgd(INNER_RATE), num_epochs=1, batch_size=256,
    )

  key = jax.random.key(1)
  return lambda: train(key, variables, own.inputs, own.labels)


if __name__ == "__main__":
  main()
