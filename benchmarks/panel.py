"""Judges the default settings of `condense` on a panel of 16 data sets.

Each data set, a member of the panel, is distilled as a user does it,
`dd.condense(source, per_class=N)` with the usual method and network, or by
`--method` with its defaults. The set is compared with class means, k-means and
random real samples, on which equally many networks are trained in the same way.
Settings are chosen on a validation part that is held out of train. The test
part is read only with `--test`, for the settings that were chosen.

Bars: the set beats every baseline on 14 of the 16 members, and leads the best
baseline by two points on average. They are judged only if no member is left
out. The size of a member is such that it should take two cores at most five
minutes; the verdict names those that take more.

Data are found below `--data_dir`, by default $DISTILL_JAX_DATA. A member whose
data are missing, or which the method refuses, is left out and named. With
`--workdir` each set and each report is kept as soon as it is there, and an
interrupted panel goes on; `--test` then judges the same sets. The folder is of
one method with its settings; take a new one when the library has changed.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import timing
from sklearn import datasets

import distill_jax as dd
from distill_jax.applications.cells import Cells
from distill_jax.choices import some_of
from distill_jax.errors import ConfigError, DataError, WorkdirError
from distill_jax.runs.assess import Settings, assess

BASELINES = "random_real", "class_mean", "kmeans"
LEAST_WINS, LEAST_LEAD, MOST_SECONDS = 14, 2.0, 300.0
# Shares held out of train: of large, of usual, and of very small data sets.
_LARGE, _USUAL, _SMALL = 0.05, 0.2, 0.5
_USUAL_METHOD = "usual"
_PARTS = "train", "validation", "test"
_SECONDS = "seconds_in_all"  # seconds of distilling, including preparation


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  add = parser.add_argument
  add("--test", action="store_true", help="judge on the test part")
  add("--data_dir", help="folder of data sets")
  add("--workdir", help="folder in which an interrupted panel goes on")
  timing.with_settings(
      parser,
      method=_USUAL_METHOD,
      settings="{}",
      per_class=1,
      members="all",
      networks=5,
      seed=0)
  options = parser.parse_args(argv)
  try:
    names = some_of(("all", *MEMBERS), "members", options.members)
    names = tuple(MEMBERS) if "all" in names else names
    method = _method(options)
    rows, left_out = _measured(names, method, options)
  except (ConfigError, WorkdirError) as error:
    parser.error(str(error))
  if rows:
    timing.show(rows)
  found = verdict(rows, left_out)
  print(_sentence(found))
  timing.write("panel", options, [found, *rows])


def _method(options) -> dd.methods.Method | None:
  """The named method, or None for the usual one of each member."""
  settings = _document(options.settings)
  if options.method != _USUAL_METHOD:
    return dd.methods.from_spec(settings | dict(name=options.method))
  if settings:
    raise ConfigError(
        f"`settings` must be left out unless --method is named; got "
        f"{options.settings}.")
  return None


def _document(text: str) -> dict:
  """Settings from JSON."""
  try:
    found = json.loads(text)
    if isinstance(found, dict):
      return found
    problem = "it is no object"
  except ValueError as error:
    problem = str(error)
  raise ConfigError(
      f"`settings` must be JSON such as '{{\"num_steps\": 500}}'; got {text}: "
      f"{problem}.")


def _measured(names, method, options) -> tuple[list[dict], dict[str, str]]:
  """A row of each member, and the reasons for members without one."""
  identity = dict(
      method=method.spec if method else _USUAL_METHOD,
      per_class=options.per_class,
      networks=options.networks,
      seed=options.seed)
  rows, left_out = [], {}
  with Cells(options.workdir, identity).held() as cells:
    for name in names:
      try:
        found = cells.json(
            f"{name}/{'test' if options.test else 'validation'}",
            partial(measured, name, method, options, cells))
      except (ConfigError, DataError, dd.methods.NonFinite) as error:
        left_out[name] = str(error)
        print(f"{name} is left out: {error}", flush=True)
      else:
        rows.append(row(name, found))
  return rows, left_out


def measured(name: str, method, options, cells: Cells) -> dict:
  """The stored results of a member: its size, seconds and report."""
  source = MEMBERS[name](options.data_dir)
  k_made, k_judged = jax.random.split(jax.random.key(options.seed))

  def distilled():
    start = time.perf_counter()
    made = dd.condense(source, method, per_class=options.per_class, key=k_made)
    return made._replace(provenance=made.provenance | {_SECONDS: _since(start)})

  made = cells.artifact(f"{name}/set", distilled)
  now = (method or dd.methods.usual(source)).spec
  if made.provenance["method"] != now:
    raise WorkdirError(
        f"{cells.folder} must hold sets of today's settings; got others for "
        f"{name}: {made.provenance['method']}. Take a new folder.")
  start, distilling = time.perf_counter(), made.provenance[_SECONDS]
  report = assess(
      k_judged,
      made,
      source if options.test else source.on_validation(),
      settings=Settings(
          options.networks,
          ",".join(BASELINES),
          num_sets=0,  # as many networks as on the set
          networks_per_set=0),
      spec=name,
      seconds=distilling)
  return dict(
      method=made.provenance["method"]["name"],
      classes=source.num_classes,
      samples=source.train.num_samples,
      distilling=distilling,
      seconds=distilling + _since(start),
      report=report)


def row(name: str, found: dict) -> dict:
  """The row of a member, with accuracies and leads in percent.

  Args:
    name: name of the member.
    found: results, as `measured` returns them.
  """
  report = found["report"]
  own, others = report["accuracy"], report["baselines"]
  best = max(BASELINES, key=lambda baseline: others[baseline]["mean"])
  stderr = others[best]["gain"]["stderr"]
  return dict(
      member=name,
      method=found["method"],
      classes=found["classes"],
      samples=found["samples"],
      accuracy=100 * own["mean"],
      stderr=100 * own["stderr"],
      **{baseline: 100 * others[baseline]["mean"] for baseline in BASELINES},
      lead=round(100 * (own["mean"] - others[best]["mean"]), 6),  # ties are 0
      lead_stderr="-" if stderr is None else 100 * stderr,
      distilling_s=found["distilling"],
      all_s=found["seconds"])


def verdict(rows: list[dict], left_out: dict[str, str]) -> dict:
  """The summary of all rows; `met` is "-" if members are missing."""
  leads = [row["lead"] for row in rows]
  wins, lead = sum(lead > 0 for lead in leads), float(np.mean(leads or [0]))
  met = wins >= LEAST_WINS and lead >= LEAST_LEAD
  return dict(
      members=len(rows),
      wins=wins,
      lost=[row["member"] for row in rows if row["lead"] <= 0],
      lead=lead,
      slow=[row["member"] for row in rows if row["all_s"] > MOST_SECONDS],
      left_out=left_out,
      met=met if len(rows) == len(MEMBERS) else "-")


def _sentence(found: dict) -> str:
  """The verdict in words."""
  judged = {True: "met", False: "not met"}
  names = {
      "not on": found["lost"],
      "more than five minutes": found["slow"],
      "left out": list(found["left_out"])
  }
  parts = [
      f"better than every baseline on {found['wins']} of {found['members']} "
      f"members, by {found['lead']:+.2f} points on average over the best",
      *(f"{what}: {', '.join(of)}" for what, of in names.items() if of),
      f"bars ({LEAST_WINS} of {len(MEMBERS)}, {LEAST_LEAD:g} points): "
      f"{judged.get(found['met'], 'not judged, as members are missing')}"
  ]
  return f"Verdict: {'; '.join(parts)}."


def _since(start: float) -> float:
  return time.perf_counter() - start


# --------------------------------------------------------------------- members


def grey(images: np.ndarray) -> np.ndarray:
  """Brightness of colour images, [N, H, W, 3] -> [N, H, W, 1] uint8."""
  weights = np.array([0.299, 0.587, 0.114], np.float32)
  return np.rint(images @ weights).astype(np.uint8)[..., None]


def halved(images: np.ndarray) -> np.ndarray:
  """Means of 2 x 2 pixels, [N, H, W, C] -> [N, H/2, W/2, C] uint8."""
  n, h, w, c = images.shape
  blocks = images.reshape(n, h // 2, 2, w // 2, 2, c)
  return np.rint(blocks.mean((2, 4), np.float32)).astype(np.uint8)


def centre(images: np.ndarray) -> np.ndarray:
  """The inner 28 x 28 pixels of images of 32 x 32."""
  return images[:, 2:30, 2:30]


def raw_parts(
    data_dir,
    spec: str,
    *changes: Callable,
    most: int = 1_000,
    classes: tuple[int, ...] | None = None) -> dict[str, np.ndarray]:
  """Raw images and labels for `from_arrays`, with a validation part.

  Args:
    data_dir: a folder of data sets, or None.
    spec: SPEC of the data set.
    *changes: functions that change images, applied in their order.
    most: samples of each class that stay in train, the first ones.
    classes: the classes that stay, ascending, which are numbered anew; all by
      default.
  """
  source = dd.read(spec, data_dir=data_dir, validation_fraction=_LARGE)
  arrays = {}
  for part in _PARTS:
    split = getattr(source, part)
    images, labels = np.asarray(split.inputs), np.asarray(split.labels)
    num = most if part == "train" else None
    known = classes or range(source.num_classes)
    rows = [np.flatnonzero(labels == c)[:num] for c in known]
    rows = np.sort(np.concatenate(rows))
    images = images[rows]
    for change in changes:
      images = change(images)
    arrays[f"x_{part}"] = images
    arrays[f"y_{part}"] = np.searchsorted(known, labels[rows])
  return arrays


def _images(spec: str, *changes: Callable, **cut):
  """A member of images; see `raw_parts`."""
  return lambda data_dir: dd.from_arrays(
      **raw_parts(data_dir, spec, *changes, **cut))


def _joined(data_dir):
  """30 classes of three data sets, as grey images of 28 x 28 pixels."""
  sets = [
      raw_parts(data_dir, _MNIST),
      raw_parts(data_dir, _FASHION),
      raw_parts(data_dir, _CIFAR, grey, centre)
  ]
  for place, arrays in enumerate(sets):
    for part in _PARTS:
      arrays[f"y_{part}"] += 10 * place
  return dd.from_arrays(
      **{name: np.concatenate([s[name] for s in sets]) for name in sets[0]})


def _table(load: Callable):
  """A table of scikit-learn; half of train is held out, as it is small."""
  return lambda data_dir: dd.from_arrays(
      *load(return_X_y=True), validation_fraction=_SMALL)


def _texts(spec: str, length: int):
  """Texts of `length` words, with vectors learned on those of train."""
  return lambda data_dir: dd.read(
      spec,
      data_dir=data_dir,
      text=dict(length=length),
      validation_fraction=_USUAL)


_MNIST, _FASHION, _CIFAR = "idx:mnist", "idx:fashion_mnist", "npz:cifar10.npz"
_CATS, _DOGS = 3, 5
# Functions that read a member, by name: `(data_dir) -> Source`, with all three
# parts.
MEMBERS = {
    "mnist": _images(_MNIST),
    "fashion_mnist": _images(_FASHION),
    "cifar10": _images(_CIFAR),
    "cifar10_grey": _images(_CIFAR, grey),
    "cifar10_16": _images(_CIFAR, halved),
    "cifar10_grey_16": _images(_CIFAR, grey, halved),
    "digits": lambda data_dir: dd.read("digits", validation_fraction=_USUAL),
    "cats_dogs": _images(_CIFAR, halved, most=5_000, classes=(_CATS, _DOGS)),
    "thirty": _joined,
    "fashion_mnist_200": _images(_FASHION, most=200),
    "mnist_5000": _images(_MNIST, most=5_000),
    "wine": _table(datasets.load_wine),
    "breast_cancer": _table(datasets.load_breast_cancer),
    "iris": _table(datasets.load_iris),
    "trec6": _texts("csv:trec?text=text&tokens=spaces", 30),
    "sst5": _texts("csv:sst5?text=text&tokens=spaces", 56)
}

if __name__ == "__main__":
  main()
