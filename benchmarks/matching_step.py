"""Times one outer step of DC and DM, and DC's inner epoch, against PyTorch.

ConvNet of depth 3, ten classes of 32 x 32 x 3 images with ten samples each, 256
real images a class (`--batch_size`); a new network and new real batches every
step. The other side is written as the published code is, a Python loop over
classes. Both sides must first agree on a gradient. Bar: ours takes at most 1.1
times as long on a CPU, and at most 0.25 times as long on an accelerator.
Without PyTorch only ours is timed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import steps
import timing

from distill_jax import data, methods, nn
from distill_jax.environment import platform
from distill_jax.inner_loop import train_epochs
from distill_jax.preprocessing import Standardise
from distill_jax.types import Batch

BARS = {"cpu": 1.1}
ACCELERATOR_BAR = 0.25
CLASSES, SHAPE = 10, (32, 32, 3)
RATES = {"dc": 0.1, "dm": 1.0}
INNER_RATE = 0.01
_COMMON = dict(
    optimizer="sgd", beta1=0.5, schedule="constant", start="noise", strategy="")


def main(argv=None) -> None:
  options = timing.parser(
      __doc__, width=128, samples_per_class=10, batch_size=256,
      num_real=512).parse_args(argv)
  device = steps.find_torch()
  rows = [_compared(work, device, options) for work in ("dc", "dm", "epoch")]
  timing.report("matching_step", options, rows)


def problem(work: str, network, options, num_real: int):
  """A plan of "dc" or "dm", and its real images [K, N, 32, 32, 3] uint8."""
  shape = (CLASSES, num_real, *SHAPE)
  images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  record = Standardise(np.float32([0] * 3), np.float32([1] * 3))
  source = data.from_arrays(
      images.reshape(-1, *SHAPE),
      np.repeat(np.arange(CLASSES), num_real),
      preprocessing=record,
      test_fraction=0)
  own = {"dc": dict(steps_per_network=1), "dm": {}}[work]
  method = methods.from_spec(
      dict(
          _COMMON,
          **own,
          name=work,
          learning_rate=RATES[work],
          batch_size=options.batch_size))
  size = options.samples_per_class
  return steps.planned(source, method, network, per_class=size), images


def gradient_difference(work: str, options, device) -> float:
  """`steps.difference` of the two gradients, in float64.

  In float32, rounding decides on which side of zero some inputs of a ReLU are,
  so that the two gradients of a few images differ.
  """
  import convnet_torch

  with jax.enable_x64(True):
    network = nn.convnet(CLASSES, width=options.width)
    example = jnp.zeros((1, *SHAPE), jnp.float64)
    fixed = network.init(jax.random.key(1), example)
    network = network._replace(init=lambda key, example: fixed)
    plan, images = problem(work, network, options, options.batch_size)
    images = images.astype(np.float64) / 255
    labels = jnp.broadcast_to(jnp.arange(CLASSES)[:, None], images.shape[:2])
    start = plan.start._replace(codes=plan.start.codes.astype(jnp.float64))
    ours = steps.gradient(plan, Batch(jnp.asarray(images), labels), start).codes
    theirs = convnet_torch.gradient(
        work, fixed["params"],
        _by_class(plan).astype(np.float64), images, device)
    return steps.difference({work: ours.reshape(theirs.shape)}, {work: theirs})


def _by_class(plan):
  """The distilled images [K, m, 32, 32, 3]."""
  return np.asarray(plan.start.codes[plan.task.layout.members])


def _compared(work, device, options):
  network = nn.convnet(CLASSES, width=options.width)
  plan, images = problem(
      "dc" if work == "epoch" else work, network, options, options.num_real)
  variables = network.init(plan.keys.init, plan.start.codes[:1])
  row, theirs = {"work": work}, None
  if device is not None:
    import convnet_torch

    codes, like = _by_class(plan), variables["params"]
    row["difference"] = "-"
    if work == "epoch":
      theirs = convnet_torch.epoch(codes, INNER_RATE, like, device)
    else:
      row["difference"] = gradient_difference(work, options, device)
      theirs = convnet_torch.stepper(
          work, codes, images, options.batch_size, RATES[work], like, device)
  ours = steps.stepper(plan, 1)
  if work == "epoch":
    ours = _epoch(network, variables, plan)
  bar = BARS.get(platform(), ACCELERATOR_BAR)
  row |= timing.compare(options, bar, ours=ours, torch=theirs)
  return row | steps.named(device)


def _epoch(network, variables, plan):
  """One epoch of DC's inner loop on the whole set as one batch."""

  @jax.jit
  def train(key, variables, inputs, labels):
    return train_epochs(
        key,
        network,
        variables,
        inputs,
        labels,
        optimizer=optax.sgd(INNER_RATE),
        num_epochs=1,
        batch_size=256)

  start = plan.start
  return lambda: train(plan.keys.run, variables, start.codes, start.labels)


if __name__ == "__main__":
  main()
