"""Kernels of infinitely wide networks, by neural-tangents in float64.

Needs neural_tangents (0.6.5 with jax 0.10.2 made the stored file). Of every
network NNGP and NTK: `cross` between three images and two others, `own` of the
three, and `gradient` of the cross kernel's sum, weighted by `cotangent`, with
respect to the three. The images are wider than high, and the pooled networks
end in two pixels, so that flattening and averaging differ.

    PYTHONPATH=tests python -m goldens.make_kernels
"""

import pathlib

import jax
import numpy as np

FILE = pathlib.Path(__file__).with_name("kernels.npz")
NAMES = ("fc1", "fc3", "conv1", "conv3", "pool3_flatten", "pool3_gap")
KINDS = ("nngp", "ntk")
FIRST, SECOND, SHAPE = 3, 2, (8, 16, 2)
WEIGHT_STD, BIAS_STD = np.sqrt(2), 0.1


def networks(stax) -> dict:
  """The stax networks by name."""
  settings = {
      "W_std": WEIGHT_STD, "b_std": BIAS_STD, "parameterization": "ntk"
  }

  def dense():
    return stax.Dense(1, **settings)

  def hidden():
    return [dense(), stax.Relu()]

  def conv():
    return [stax.Conv(1, (3, 3), padding="SAME", **settings), stax.Relu()]

  def block():
    return [*conv(), stax.AvgPool((2, 2), strides=(2, 2))]

  flat = stax.Flatten
  layers = (
      [flat(), *hidden(), dense()],
      [flat(), *hidden(), *hidden(), *hidden(), dense()],
      [*conv(), flat(), dense()],
      [*conv(), *conv(), *conv(), flat(), dense()],
      [*block(), *block(), *block(), flat(), dense()],
      [*block(), *block(), *block(), stax.GlobalAvgPool(), dense()],
  )
  return {
      name: stax.serial(*of)
      for name, of in zip(NAMES, layers, strict=True)
  }


def main():
  from distill_jax.kernels.neural_tangents import import_neural_tangents

  generator = np.random.RandomState(7)
  x1 = generator.standard_normal((FIRST, *SHAPE))
  x2 = generator.standard_normal((SECOND, *SHAPE))
  x2[0] += 2 * x1[0]  # a small angle among the wide ones
  cotangent = generator.standard_normal((FIRST, SECOND))
  results = {"x1": x1, "x2": x2, "cotangent": cotangent}
  stax = import_neural_tangents().stax
  with jax.enable_x64(True):
    for name, (_, _, kernel_fn) in networks(stax).items():
      for kind in KINDS:

        def weighted(x, kernel_fn=kernel_fn, kind=kind):
          values = kernel_fn(x, x2, kind)
          return (values * cotangent).sum(), values

        gradient, cross = jax.grad(weighted, has_aux=True)(x1)
        results[f"{name}/{kind}/cross"] = cross
        results[f"{name}/{kind}/own"] = kernel_fn(x1, None, kind)
        results[f"{name}/{kind}/gradient"] = gradient
  np.savez_compressed(FILE, **{k: np.asarray(v) for k, v in results.items()})


if __name__ == "__main__":
  main()
