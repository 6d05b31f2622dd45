"""Writes a distilled set by an earlier version, and what it read of it.

README.md beside this file has the commands. The calls below are those that all
the versions understand.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

from distill_jax.artifact import load, save, to_artifact
from distill_jax.data import from_arrays
from distill_jax.estimators.backprop import backprop
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled, Objective

RAW = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)
TREES = ("initial", "codes", "extra", "stored_labels", "views")


def values(artifact) -> dict[str, np.ndarray]:
  """Arrays of a set by name, its other fields as JSON, and its preprocessing.

  A pytree has a name for each leaf, in the order of `jax.tree.leaves`.
  """
  found, facts = {}, {}
  for name, value in artifact._asdict().items():
    if name in TREES:
      for i, leaf in enumerate(jax.tree.leaves(value)):
        found[f"{name}/{i}"] = np.asarray(leaf)
    elif isinstance(value, np.ndarray):
      found[name] = value
    elif name != "preprocessing":
      facts[name] = value
  record = artifact.preprocessing
  return found | dict(
      applied=np.asarray(record.apply(RAW[:2])),
      inverted=np.asarray(record.invert(artifact.inputs)),
      facts=np.array(json.dumps(facts)))


def plain(preprocessing: str = "standardise", **more):
  """A set with step sizes, an order and theta_0."""
  rng = np.random.default_rng(1)
  source = from_arrays(
      RAW,
      np.arange(30) % 3,
      preprocessing=preprocessing,
      name="toy",
      class_names=("a", "b", "é"))
  distilled = Distilled(
      codes=rng.normal(size=(6, 4, 4, 1)).astype(np.float32),
      labels=rng.normal(size=(6, 3)).astype(np.float32),
      raw_step_sizes=np.linspace(-3, -1, 4, dtype=np.float32))
  kernel = rng.normal(size=(16, 3)).astype(np.float32)
  return to_artifact(
      backprop(Objective(None, None, None), pixels()),
      distilled,
      source,
      method="sldd",
      order=np.arange(6).reshape(2, 3),
      recipe={
          "name": "in_order",
          "momentum": 0.5
      },
      network={
          "name": "mlp",
          "widths": []
      },
      initial={"params": {
          "head": {
              "kernel": kernel,
              "bias": kernel[0]
          }
      }},
      **more)


def quantised():
  """A set in 4 bits, its labels in 16."""
  import distill_jax as dd

  return dd.quantise(plain(), bits=4, group="image", labels=16)


def with_views():
  """A set with labels of two views, and no teacher."""
  import distill_jax as dd
  from distill_jax.views import Views

  made = plain()
  rng = np.random.default_rng(2)
  views = dict(labels=rng.normal(size=(2, 6, 3)).astype(np.float16))
  made = dd.from_samples(made.inputs, made.labels, class_names=made.class_names)
  recipe = dict(
      name="views",
      num_epochs=2,
      **Views(strategy="", mix=0.5, batch_size=3, seed=7)._asdict())
  return made._replace(
      views=views,
      recipe=recipe,
      label_regime="soft_views",
      storage_bytes=made.storage_bytes | dict(
          views=views["labels"].nbytes,
          total=made.storage_bytes["total"] + views["labels"].nbytes))


SETS = {
    "schema_1_scaled":
        lambda: plain("zca", label_regime="soft_fixed", label_scale=2.0),
    "schema_1":
        plain,
    "schema_2":
        quantised,
    "schema_3":
        with_views
}


def main():
  path = Path(__file__).with_name(f"{sys.argv[1]}.safetensors")
  save(SETS[sys.argv[1]](), path)
  np.savez_compressed(path.with_suffix(".npz"), **values(load(path)))


if __name__ == "__main__":
  main()
