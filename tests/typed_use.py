"""A user's program, as pages write it. `make types` checks it; nothing runs it.

Whoever installs the library sees its types: what is passed here must fit, and
what comes back must have the attributes that are read.
"""

from pathlib import Path

import numpy as np

import distill_jax as dd


def in_memory(x: np.ndarray, y: np.ndarray) -> float:
  """From arrays to a report."""
  source = dd.from_arrays(x, y)
  made = dd.condense(source, per_class=1)
  report = dd.evaluate(made, source, num_networks=3, num_sets=2)
  baseline: float = report["baselines"]["random_real"]["mean"]
  x_small, y_small = made.to_numpy()
  shape: tuple[int, ...] = x_small.shape + y_small.shape
  made.save("mine.safetensors")
  loaded: dd.Artifact = dd.load(Path("mine.safetensors"))
  print(report, loaded, shape, loaded.num_samples)
  return report.mean - baseline


def other_kinds(series, frame, texts: list[str], labels: list[str]) -> None:
  """Data of other kinds, and from files."""
  for source in (dd.from_arrays(series, labels, kind="series"),
                 dd.from_arrays(frame, labels), dd.from_texts(texts, labels),
                 dd.read("folder:pictures?size=32"), dd.read("digits")):
    train: int = source.train.num_samples
    print(source.class_names, source.num_classes, train)


def methods(source: dd.Source) -> dd.Artifact:
  """Methods with settings, networks by name or as objects."""
  dsa, dm = dd.methods.dsa(), dd.methods.dm(num_steps=20, learning_rate=0.1)
  both = dd.methods.weighted(dsa, dm, weights=[0.5, 0.5])
  first = dd.condense(source, both, "lenet", per_class=1)
  network = dd.convnet(source.num_classes, width=32)
  other = dd.condense(source, dm, network, num_rows=5)
  dd.evaluate(first, source, network="mlp", num_networks=2)
  dd.export(dd.quantise(first, bits=4), "set.png")
  print(dd.methods.table(), dm.num_steps, dm.spec["name"])
  return dd.merge([first, other])


def in_a_folder(source: dd.Source) -> np.ndarray:
  """A run with checkpoints, and its parts."""
  run = dd.Run("runs/dsa", source, dd.methods.dsa(), per_class=10)
  print(run.go())
  made: dd.Artifact = run.artifact
  tensors, labels, prepare = made.to_torch()
  print(tensors, labels, prepare(np.zeros((1, 8), np.float32)))
  return np.asarray(made.inputs)


def mistakes(source: dd.Source) -> str:
  """Errors are caught by name."""
  try:
    dd.condense(source, per_class=0)
  except (dd.ConfigError, dd.DataError, dd.ArtifactError) as error:
    return str(error)
  return ""
