"""What was measured on real data before, in a JSON file that runs share.

Accuracies on all data and of the baselines depend on the data, the network and
the recipe alone, so methods that are compared on one data set measure them
once. A value is kept under everything that it depends on.
"""

import json
import zlib
from pathlib import Path

import jax
import numpy as np
from workdir import write_json

from distill_jax.evaluation import run_baselines, train_on_all
from distill_jax.evaluation.baselines import Baseline
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.full_data import FullData

FILE = "real_data.json"


def baselines(
    key, artifact, source, spec, *, cache: Path, names, **settings
) -> dict[str, Baseline]:
  """`run_baselines` of an artifact; only those not in `cache` are measured.

  Args:
    key: see `run_baselines`.
    artifact: the set.
    source: real data.
    spec: of the network.
    cache: the file.
    names: of the baselines.
    **settings: further arguments of `run_baselines`.
  """
  if artifact.student_init == "fixed":  # weights of this set alone
    return run_baselines(key, artifact, source, names=names, **settings)
  sizes = {k: v for k, v in settings.items() if k != "network"}
  common = dict(
      **_setting(source, spec), **sizes, recipe=artifact.recipe,
      key=np.asarray(jax.random.key_data(key)).tolist(),
      order=_checksum(artifact.order), steps=np.shape(artifact.step_sizes),
  )
  fields = {name: common | dict(baseline=name) for name in names}
  for name in set(names) - {"byte_matched_real"}:
    fields[name].pop("storage_bytes", None)
  found = _read(cache)
  missing = tuple(n for n in names if _name(fields[n]) not in found)
  if missing:
    measured = run_baselines(key, artifact, source, names=missing, **settings)
    found = _add(cache, {
        _name(fields[name]): result._replace(
            accuracy=result.accuracy.tolist()
        )._asdict() for name, result in measured.items()
    })
  kept = {name: Baseline(**found[_name(fields[name])]) for name in names}
  return {
      name: result._replace(accuracy=np.asarray(result.accuracy))
      for name, result in kept.items()
  }


def full_data(key, source, spec, network, cache: Path) -> FullData:
  """Accuracy from all data; the network of `spec` is `network`."""
  name = _name(dict(**_setting(source, spec), full_data=True))
  found = _read(cache)
  if name not in found:
    measured = train_on_all(jax.random.fold_in(key, 2**30), network, source)
    found = _add(cache, {
        name: dict(accuracy=measured.accuracy, cost=measured.cost._asdict())
    })
  return FullData(found[name]["accuracy"], Cost(**found[name]["cost"]))


def _setting(source, spec) -> dict:
  return dict(
      network=dict(spec), data=source.fingerprint(),
      preprocessing=_checksum(*source.preprocessing),
  )


def _checksum(*arrays) -> int:
  whole = [np.ascontiguousarray(array) for array in arrays]
  return zlib.crc32(b"".join(
      f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in whole
  ))


def _name(fields: dict) -> str:
  return json.dumps(fields, sort_keys=True)


def _read(cache: Path) -> dict:
  return json.loads(cache.read_text()) if cache.exists() else {}


def _add(cache: Path, values: dict) -> dict:
  values = _read(cache) | values  # another run may have written meanwhile
  write_json(cache, values)
  return values
