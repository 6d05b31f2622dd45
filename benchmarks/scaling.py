"""Measures how the cost of an outer step grows, and projects it.

One setting at a time is changed: classes, samples per class, width of the
ConvNet, side of the images (one more block for each doubling), and devices that
share the classes (`--devices`, of those that JAX finds; the environment
XLA_FLAGS=--xla_force_host_platform_device_count=2 makes two of a CPU).
Operations are counted by hand in forward passes, as in `accelerator.py`: a step
of DM takes C (B + 3 m) for C classes, B real and m distilled samples of each; a
step of TGDD, whose second network classifies the set, C (B + 6 m). A gradient
costs two forward passes more. If only these counts matter, steps reach the same
rate in every row.

The projection is for ImageNet-1K at 64 pixels (`--project_*`), ConvNet of depth
4 and width 128 for DM and TGDD, ResNet-18 for RDED. The time of computing is
the number of operations over (devices x rate of a device x share of it that is
reached). Gradients are summed over devices once a step, which sends twice the
bytes of the set over the slowest link. Real samples that do not fit on the
device cross the host's link. The longest of these three times counts.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import steps
import timing

from distill_jax import data, methods, nn
from distill_jax.devices import on_devices
from distill_jax.evaluation.cost import flops_of
from distill_jax.types import Network

BASE = dict(classes=10, per_class=10, width=32, side=32)
# ImageNet-1K: classes, training images, bytes of one of 64 x 64 x 3 pixels.
CLASSES, IMAGES, PIXELS = 1_000, 1_281_167, 64 * 64 * 3
# Work of each method on ImageNet-1K: steps, real and distilled samples per
# class and step, and epochs on all data for the networks that it needs first.
DM = dict(steps=20_000, batch=256, per_class=10, epochs=0)
TGDD = dict(steps=10_000, batch=128, per_class=10, epochs=5 * 60)
RDED = dict(epochs=100, candidates=300, crops=5, per_class=10, views=300)


def main(argv=None) -> None:
  parser = timing.parser(
      __doc__,
      batch_size=64,
      classes=(10, 20, 40),
      per_class=(1, 10, 50),
      width=(32, 64, 128),
      side=(16, 32, 64),
      devices=(1,),
      project_devices=(1, 8, 64))
  add = parser.add_argument
  add(
      "--project_teraflops",
      type=float,
      default=60.0,
      help="of a device, in the precision that is used")
  add(
      "--project_share",
      type=float,
      default=0.0,
      help="of that rate; by default what the widest network reaches here")
  add(
      "--project_link",
      type=float,
      default=25.0,
      help="gigabytes a second between hosts, and from host to device")
  add(
      "--project_memory",
      type=float,
      default=80.0,
      help="gigabytes of a device")
  options = parser.parse_args(argv)
  rows = list(_measured(options))
  timing.show(rows)
  widest = max(rows, key=lambda row: row["width"])
  share = options.project_share or widest["share_of_product"]
  projected = [
      projection(name, work, number, options, share)
      for name, work in works().items()
      for number in options.project_devices
  ]
  timing.show(projected)
  timing.write("scaling", options, [*rows, *projected])


def _measured(options) -> Iterator[dict[str, Any]]:
  """A row for each setting."""
  rate = _product_rate(options)
  base = dict(BASE, devices=1)
  shapes = [base] + [
      dict(base, **{name: value})
      for name in base
      for value in getattr(options, name)
      if value != base[name]
  ]
  for shape in shapes:
    network = _network(shape["classes"], shape["width"], shape["side"])
    forward = forward_flops(network, shape["side"])
    run = _stepper(shape, network, options.batch_size)
    with on_devices(shape["devices"]):
      samples = timing.alternate({"step": run},
                                 rounds=options.rounds,
                                 seconds=options.seconds)["step"]
    passes = shape["classes"] * (options.batch_size + 3 * shape["per_class"])
    seconds = float(np.median(samples))
    yield dict(
        shape,
        ms=1e3 * seconds,
        forward_passes=passes,
        megaflops_of_pass=forward / 1e6,
        gigaflops_a_second=passes * forward / seconds / 1e9,
        share_of_product=passes * forward / seconds / rate,
        seconds=samples)


def _product_rate(options) -> float:
  """Operations a second of a square float32 product of 2,048 rows."""
  x = jax.random.normal(jax.random.key(0), (2_048, 2_048))
  product = jax.jit(partial(jnp.matmul, precision="highest"))
  samples = timing.alternate({"product": lambda: product(x, x)},
                             rounds=options.rounds,
                             seconds=options.seconds)["product"]
  return 2 * 2_048**3 / float(np.median(samples))


def _network(classes: int, width: int, side: int) -> Network:
  return nn.convnet(classes, depth=max(side.bit_length() - 3, 1), width=width)


def forward_flops(network: Network, side: int) -> float:
  """Operations of a forward pass of one image."""
  example = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), example)
  return flops_of(lambda v, x: network.apply(v, x)[0], variables, example)


def _stepper(shape, network, batch_size):
  classes, side = shape["classes"], shape["side"]
  size = classes * max(batch_size, shape["per_class"])
  x = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), np.uint8)
  source = data.from_arrays(x, np.arange(size) % classes, test_fraction=0)
  method = methods.dm(batch_size=batch_size, strategy="")
  plan = steps.planned(source, method, network, per_class=shape["per_class"])
  return steps.stepper(plan, 1)


def works() -> dict[str, dict[str, float]]:
  """Operations of each method for ImageNet-1K, before and during its steps.

  `seen` are real samples that a step, or a pass, needs on the devices.
  """
  convnet = forward_flops(_network(CLASSES, 128, 64), 64)
  resnet = forward_flops(nn.resnet18(CLASSES), 64)
  training = 3 * IMAGES
  found = {}
  for name, work, passes in (("dm", DM, 3), ("tgdd", TGDD, 6)):
    each = work["batch"] + passes * work["per_class"]
    found[name] = dict(
        before=work["epochs"] * training * convnet,
        steps=work["steps"],
        of_step=CLASSES * each * convnet,
        seen=CLASSES * work["batch"],
        rows=CLASSES * work["per_class"])
  rows = CLASSES * RDED["per_class"]
  chosen = CLASSES * RDED["candidates"] * RDED["crops"] * resnet
  found["rded"] = dict(
      before=RDED["epochs"] * training * resnet,
      steps=1,
      of_step=chosen + rows * RDED["views"] * resnet,
      seen=CLASSES * RDED["candidates"],
      rows=0)
  return found


def projection(name: str, work: dict, devices: int, options,
               share: float) -> dict[str, Any]:
  """Hours of a method on `devices` devices, and what limits a step."""
  rate = 1e12 * options.project_teraflops * share * devices
  link = 1e9 * options.project_link
  resident = IMAGES * PIXELS <= 0.5e9 * options.project_memory
  parts = dict(
      compute=work["of_step"] / rate,
      gradients=0.0 if devices == 1 else 2 * 4 * work["rows"] * PIXELS / link,
      host=0.0 if resident else work["seen"] * PIXELS / (link * devices))
  before = work["before"] / rate
  step = max(parts.values())
  return dict(
      method=name,
      devices=devices,
      before_hours=before / 3600,
      step_ms=1e3 * step,
      hours=(before + work["steps"] * step) / 3600,
      limit=max(parts, key=parts.get),
      exaflops=(work["before"] + work["steps"] * work["of_step"]) / 1e18,
      share=share,
      **{
          f"{part}_ms": 1e3 * seconds for part, seconds in parts.items()
      })


if __name__ == "__main__":
  main()
