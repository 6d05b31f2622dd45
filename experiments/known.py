"""What was measured on real data before, in a JSON file that runs share.

Accuracies on all data and of the baselines do not depend on the set, so methods
that are compared on one data set measure them once. A value is kept under
everything that it depends on; accuracy on all data is that of the seed that
came first.
"""

import functools
import json
import zlib
from pathlib import Path

import jax
import numpy as np
from console import say
from workdir import read_json, update_json

from distill_jax import data, environment, models
from distill_jax.evaluation import learners, run_baselines, train_on_all
from distill_jax.evaluation.baselines import TITLES, Baseline
from distill_jax.evaluation.cost import Cost
from distill_jax.evaluation.full_data import FullData
from distill_jax.evaluation.recipes import from_spec
from distill_jax.evaluation.text_reference import tfidf_linear
from distill_jax.initialisation import step_order

FILE = "real_data.json"


def baselines(
    key, artifact, source, spec, *, cache: Path, names, num_samples, **sizes
) -> dict[str, Baseline]:
  """`run_baselines` of an artifact; only those not in `cache` are measured.

  Each is kept there, and said, as soon as it is measured. With a fixed
  initialisation all are measured and none is kept.

  Args:
    key: see `run_baselines`.
    artifact: the set.
    source: real data.
    spec: `{"name": ..., arguments}` of the student.
    cache: the file.
    names: of the baselines.
    num_samples: see `run_baselines`.
    **sizes: further numbers that `run_baselines` takes.

  Returns:
    Results by name.
  """
  if not names:
    return {}
  if models.is_kernel(spec):
    fitted = dict(learner=learners.from_spec(spec, None, source.num_classes))
  else:
    fitted = dict(network=models.from_spec(spec, source.num_classes))

  measure = functools.partial(
      run_baselines, key, artifact, source, **fitted, num_samples=num_samples,
      **sizes,
  )
  tell = functools.partial(_tell, spec["name"])
  if artifact.student_init == "fixed":  # weights of this set alone
    return measure(names=names, on_result=tell)
  order = artifact.order
  if num_samples != order.size:
    order = step_order(num_samples, len(order))
  common = dict(
      **_setting(source, spec), **sizes, num_samples=num_samples,
      recipe=from_spec(artifact.recipe).spec,
      key=np.asarray(jax.random.key_data(key)).tolist(),
      order=_checksum(order), steps=np.shape(artifact.step_sizes),
  )
  fields = {name: common | dict(baseline=name) for name in names}
  for name in set(names) - {"byte_matched_real"}:
    fields[name].pop("storage_bytes", None)
  found = _read(cache)
  missing = tuple(n for n in names if _name(fields[n]) not in found)

  def keep(name, result):
    as_lists = result._replace(accuracy=result.accuracy.tolist())
    found.update(_add(cache, {_name(fields[name]): as_lists._asdict()}))
    tell(name, result)

  if missing:
    measure(names=missing, on_result=keep)
  kept = {name: Baseline(**found[_name(fields[name])]) for name in names}
  return {
      name: result._replace(accuracy=np.asarray(result.accuracy))
      for name, result in kept.items()
  }


def full_data(key, source, spec, cache: Path) -> FullData:
  """Accuracy of the network of `spec` from all data; see `baselines`."""
  name = _name(dict(**_setting(source, spec), full_data=True))
  found = _read(cache)
  if name not in found:
    network = models.from_spec(spec, source.num_classes)
    measured = train_on_all(jax.random.fold_in(key, 2**30), network, source)
    found = _add(cache, {
        name: measured._replace(cost=measured.cost._asdict())._asdict()
    })
  return FullData(**found[name] | dict(cost=Cost(**found[name]["cost"])))


def linear(
    spec: str, source, data_dir, cache: Path, **settings
) -> dict | None:
  """TF-IDF and a linear classifier on all texts; None for other data.

  Args:
    spec: SPEC of the data.
    source: the data.
    data_dir: a folder of data sets, or None.
    cache: the file.
    **settings: of `tfidf_linear`: validation_fraction, seed.
  """
  texts = data.texts(spec, data_dir=data_dir)
  if texts is None or "x_test" not in texts:
    return None
  settings["drop_duplicates"] = "dropped" in source.facts
  texts = {"tokens": source.facts.get("tokens", "words"), **texts}
  name = _name(dict(
      data=source.fingerprint(), spec=spec, tfidf_linear=settings
  ))
  found = _read(cache)
  if name not in found:
    found = _add(cache, {name: tfidf_linear(**texts, **settings)._asdict()})
  return found[name]


def _tell(network: str, name: str, result: Baseline) -> None:
  say(f"  {TITLES[name]}, {network}: {100 * result.mean:.2f} %")


def _setting(source, spec) -> dict:
  return dict(
      network=dict(spec), data=source.fingerprint(),
      preprocessing=_checksum(*source.preprocessing),
      version=environment.versions()["distill_jax"],
  )


def _checksum(*arrays) -> int:
  whole = [np.ascontiguousarray(array) for array in arrays]
  return zlib.crc32(b"".join(
      f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in whole
  ))


def _name(fields: dict) -> str:
  return json.dumps(fields, sort_keys=True)


def _read(cache: Path) -> dict:
  cache.parent.mkdir(parents=True, exist_ok=True)
  return read_json(cache, {})


def _add(cache: Path, values: dict) -> dict:
  return update_json(cache, lambda before: before | values, {})
