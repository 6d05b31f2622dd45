"""Damages files of every kind and reads them: no damage may be accepted.

Each target is a kind of file that the library reads. A sound file is made, and
then damaged again and again: in its bytes, or in its fields, with checksums
that fit. Reading it must raise an error of the library, of one line and at most
300 characters, or return the content of the sound file. Other content may be
accepted only if damage cannot be recognised: in files without a checksum, or
with a new one. Bars: no other error, no damage accepted, no read of more than
ten seconds, and less than 1 GiB of memory.
"""

import argparse
import contextlib
import gzip
import io
import json
import math
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import numpy as np
import timing
from absl import logging
from PIL import Image
from safetensors import SafetensorError

from distill_jax import artifact, checkpoint, data, exchange, schema, storage
from distill_jax import errors as errors_lib
from distill_jax.evaluation import recipes
from distill_jax.runs import files, kept, real_data, word_vectors, workdir
from distill_jax.text import vectors
from distill_jax.text.embedding import WordVectors, packed
from distill_jax.trajectories import buffer, experts

_TYPED = (
    errors_lib.ArtifactError, errors_lib.ConfigError, errors_lib.DataError,
    errors_lib.WorkdirError)
_LONGEST, _SECONDS, _PEAK = 300, 10, 2**30  # characters, seconds, bytes
X = np.random.default_rng(0).integers(0, 256, (12, 8, 8)).astype(np.uint8)
Y = np.arange(12) % 2
TEXTS = ("a good film", "not so good", "what a bad film", "bad , so bad") * 3
TREE = {"w": np.zeros((3, 2), np.float32)}
RUN = dict(method=dict(name="dm", steps=3), seed=0, data="digits")
_NUMBERS = (0, 1, 2**31 - 1, 2**32 - 1, 2**62, -2**63)
_CELLS = (
    "", "nan", "N/A", "inf", "-1", "1e999", "1e39", "x" * 5000, '"', "\0", "\n",
    ",", "\u0661", "1_0", " 0", "-0.0")
_VALUES = (
    None, True, -1, 0, 1.5, math.nan, math.inf, 10**400, "", "x" * 5000, "\0\n",
    "\ud800", [], {}, [[]], [None], {
        "": 1
    }, ["a", "a"])
_DTYPES = ("?", "u1", "i8", "f2", "f8", "c8", "S3", "U3")


class _Hang(BaseException):
  """Raised when reading takes too long; no `except Exception` catches it."""


class Target(NamedTuple):
  """A kind of file.

  Attributes:
    make: writes sound files into a folder.
    read: `(folder) -> content of its files`, to be compared.
    exact: kinds of damage after which no other content may be accepted.
  """

  make: Callable[[Path], Any]
  read: Callable[[Path], Any]
  exact: str = "bytes"


# --------------------------------------------------------------------- targets


def _set(**changes):
  made = dict(
      inputs=X[:4, ..., None],
      labels=Y[:4],
      raw=True,
      class_names=("even", "odd"),
      step_sizes=(0.1, 0.2),
      initial=TREE,
      network=dict(name="mlp", widths=[8]),
      provenance=dict(data="digits", facts=dict(length=3)))
  return artifact.from_samples(**made | changes)


def _set_of_texts():
  table = jax.numpy.asarray(np.pad(X[:4, 0] / 255, ((1, 0), (0, 0))))
  words = WordVectors(table, packed(("good", "bad", "film")))
  ids = np.array([[2, 3, 0], [4, 1, 2]])
  few = dict(inputs=ids, labels=ids[:, 2] // 2, step_sizes=(), network={})
  return _set(**few, preprocessing=words)


def _used(made) -> str:
  """The content of a set, after it was used."""
  made.to_numpy(), made.training_set, repr(made), recipes.from_spec(made.recipe)
  return storage.checksum(*schema.split(made))


def _source(spec: str, **options) -> str:
  """The content of a data set, after it was checked."""
  source = data.read(spec, **options)
  for split in filter(None, (source.train, source.validation, source.test)):
    assert np.isfinite(split.inputs).all() and split.num_samples
    labels = np.unique(split.labels)
    assert 0 <= labels[0] <= labels[-1] < source.num_classes
  return source.fingerprint()


def _npz(file: Path) -> None:
  parts = dict(x_train=X, y_train=Y, x_test=X[:4], y_test=Y[:4])
  np.savez(file, **parts, class_names=["even", "odd"])


def _idx(folder: Path, pack=bytes, end="") -> None:
  for part in ("train", "t10k"):
    for name, array in ("images-idx3", X), ("labels-idx1", Y.astype(np.uint8)):
      head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape,
                                                     ">u4").tobytes()
      file = folder / f"{part}-{name}-ubyte{end}"
      file.write_bytes(pack(head + array.tobytes()))


def _images(folder: Path) -> None:
  for row, image in enumerate(X):
    file = folder / "ab"[Y[row]] / f"{row}.png"
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(file)


def _csv(file: Path, rows) -> None:
  lines = (f'"{cell}",{label}\n' for cell, label in rows)
  file.write_text("a,b\n" + "".join(lines))


def _words(found: vectors.Vectors):
  """The content of word vectors, after they were checked."""
  assert np.isfinite(found.table).all() and found.table.size
  assert len(set(found.words)) == len(found.words) == len(found.table)
  return found.words, found.table.tolist()


def _text() -> bytes:
  rows = enumerate((X[:, 0, :3] / 8).tolist())
  lines = (f"w{n} {' '.join(map(str, row))}\n" for n, row in rows)
  return "".join(lines).encode()


def _binary() -> bytes:
  rows = enumerate(X[:, 0, :3].astype(np.float32))
  return b"12 3\n" + b"".join(
      b"w%d " % n + r.tobytes() + b"\n" for n, r in rows)


def _save_experts(folder: Path) -> None:
  for number in range(2):
    found = experts.Expert(X[:3, number, :6] / 8, np.arange(3) / 4)
    buffer.save_expert(folder, number, found, like=TREE, identity=RUN)


def _experts(folder: Path):
  found = buffer.open_buffer(folder, like=TREE, identity=RUN, num_experts=2)
  epochs = range(found.num_epochs + 1)
  weights = [found.weights(n, e).tolist() for n in (0, 1) for e in epochs]
  return found.accuracy, weights


def _save_state(folder: Path) -> None:
  state = dict(TREE, key=jax.random.key(1))
  checkpoint.Checkpoints(folder).save(2, state, dict(loss=0.5))


def _state(folder: Path):
  states = checkpoint.Checkpoints(folder)
  found = states.restore(2, dict(TREE, key=jax.random.key(0)))
  return found["w"].tolist(), str(found["key"]), states.extra(2)


def _save_log(folder: Path) -> None:
  log = files.MetricsLog(folder, 0)
  for step in range(1, 9):
    log.write(step=step, seconds=step / 2, loss=1 / step)


def _log(folder: Path):
  lines = files.MetricsLog.read(folder)
  [float(value) for line in lines for value in line.values()]
  _open(folder)
  files.MetricsLog(folder, 9)
  return lines


def _open(folder: Path) -> None:
  workdir.open_workdir(folder, RUN, {}, num_steps=9)


def _opened(folder: Path):
  said = (folder / "config.json").read_bytes()
  _open(folder)
  return json.loads(said)["identity"]


def _learned(folder: Path):
  sentences = [text.split() for text in TEXTS]
  return _words(word_vectors.learned(sentences, cache=folder, dim=3))


def _measured(folder: Path):
  file, found = folder / real_data.FILE, dict(accuracy=[0.5, 0.25], cost={})
  return [kept.once(file, lambda: found, of=name) for name in "ab"]


def _file(name: str, make, read, exact="bytes") -> Target:
  """A target of one file."""
  return Target(lambda f: make(f / name), lambda f: read(f / name), exact)


def _vectors(name: str, content: Callable[[], bytes], exact="") -> Target:
  make, read = (lambda file: file.write_bytes(content())), vectors.read_vectors
  return _file(name, make, lambda file: _words(read(file)), exact)


def _loaded(make) -> Target:
  name, read = "a.safetensors", lambda file: _used(artifact.load(file))
  return _file(name, lambda file: make().save(file), read)


TARGETS = {
    "set": _loaded(_set),
    "set of texts": _loaded(_set_of_texts),
    "exported set":
        _file(
            "a.npz", lambda file: exchange.export(_set(), file),
            lambda file: _used(exchange.import_npz(file))),
    "experts": Target(_save_experts, _experts),
    "checkpoint": Target(_save_state, _state),
    "npz": _file("a.npz", _npz, lambda file: _source(f"npz:{file}")),
    "tfds cache":
        Target(
            lambda f: _npz(f / "t.npz"),
            lambda f: _source("tfds:t", data_dir=f)),
    "idx": Target(_idx, lambda f: _source(f"idx:{f}"), ""),
    "idx.gz":
        Target(
            lambda f: _idx(f, gzip.compress, ".gz"),
            lambda f: _source(f"idx:{f}")),
    "images": Target(_images, lambda f: _source(f"folder:{f}"), ""),
    "table":
        _file(
            "a.csv", lambda file: _csv(file, np.c_[X[:, 0, 0], Y]),
            lambda file: _source(f"csv:{file}?label=b"), ""),
    "texts":
        _file(
            "a.csv", lambda file: _csv(file, zip(TEXTS, Y, strict=True)),
            lambda file: _source(f"csv:{file}?text=a&label=b"), ""),
    "vectors.txt": _vectors("v.txt", _text),
    "vectors.vec.gz":
        _vectors(
            "v.vec.gz", lambda: gzip.compress(b"12 3\n" + _text()), "bytes"),
    "vectors.bin": _vectors("v.bin", _binary),
    "vectors.npz":
        _file(
            "v.npz", lambda file: np.savez(
                file, words=np.array(["a", "b"]), table=X[:2, 0, :3], name="v"),
            lambda file: _words(vectors.read_vectors(file))),
    "learned vectors": Target(_learned, _learned),
    "measured results": Target(_measured, _measured, "bytes fields"),
    "config": Target(_open, _opened, "bytes fields"),
    "log": Target(_save_log, _log, "")
}

# ---------------------------------------------------------------------- damage


def _pick(choices, rng):
  return choices[int(rng.integers(len(choices)))]


def _bytes(file: Path, rng, other: bytes) -> None:
  """Damages a stretch of bytes, or one number, often near the beginning."""
  old = file.read_bytes()
  start = int(rng.integers(1 + _pick((len(old), min(64, len(old))), rng)))
  size, word = int(2**rng.uniform(0, 10)), 2**int(rng.integers(4))
  value = _pick(_NUMBERS, rng)
  number = (value % 256**word).to_bytes(word, _pick(("big", "little"), rng))
  head, part, rest = old[:start], old[start:start + size], old[start + size:]
  flipped = bytes(byte ^ int(rng.integers(256)) for byte in part[:4])
  ways = [
      head,  # cut
      head + other[int(rng.integers(len(other))):],  # spliced
      head + flipped + part[4:] + rest,
      head + number + old[start + word:],
      re.sub(rb"\d+", b"%d" % value, old, count=size),
      head + rng.bytes(size) + part + rest,  # inserted
      head + rest,  # removed
      head + 3 * part + rest,  # repeated
      head + bytes(size) + rest  # blank
  ]
  file.write_bytes(_pick(ways, rng))


def _fields(file: Path, rng, other: bytes) -> None:
  """Changes the fields of a file, with checksums that fit."""
  if file.suffix == ".safetensors":
    tensors, document = storage.read(file)
    del document["sha256"]
    if rng.random() < 0.5:
      _change_array(tensors, rng)
    else:
      _change_value(document, rng)
    with contextlib.suppress(ValueError, SafetensorError):  # cannot be written
      if document.pop("own_sha256", None):
        document["own_sha256"] = storage.checksum({}, document)
      storage.write(file, tensors, document)
  elif file.suffix == ".npz":
    with np.load(file) as archive:
      arrays = dict(archive)
    _change_array(arrays, rng)
    np.savez(file, **arrays)
  elif file.suffix.startswith(".json"):
    lines = file.read_text().splitlines()
    lines = lines if file.suffix == ".jsonl" else ["".join(lines)]
    place = int(rng.integers(len(lines)))
    document = json.loads(lines[place])
    _change_value(document, rng)
    lines[place] = json.dumps(document)
    file.write_text("\n".join(lines) + "\n")
  elif file.suffix in (".csv", ".txt"):
    cells = re.split("([, \r\n]+)", file.read_text())
    cells[int(rng.integers(len(cells)))] = _pick(_CELLS, rng)
    file.write_text("".join(cells))
  else:
    _bytes(file, rng, other)


def _change_value(document: dict, rng) -> None:
  """Changes or removes a value somewhere in a JSON document."""
  places, holders = [], [document]
  for holder in holders:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    places += [(holder, key) for key in keys]
    holders += [holder[k] for k in keys if isinstance(holder[k], dict | list)]
  holder, key = _pick(places, rng)
  if rng.random() < 0.3:
    del holder[key]
  else:
    holder[key] = _pick(_VALUES, rng)


def _change_array(arrays, rng) -> None:
  """Changes, renames or removes one array."""
  name = _pick(sorted(arrays), rng)
  array = arrays.pop(name)
  value = _pick((-1, 0, 2, 255, 1e30, math.nan, math.inf), rng)
  with contextlib.suppress(TypeError, ValueError), np.errstate(all="ignore"):
    changed = np.where(rng.random(array.shape) < 0.1, np.asarray(value), array)
    changed = changed.astype(array.dtype)
    flat, other = array.ravel(), array.astype(_pick(_DTYPES, rng))
    ways = [
        array, flat, flat[:0], array[None], array.T, other, changed, changed
    ]
    name += _pick(("", "", "", "x"), rng)
    arrays[name] = _pick(ways, rng)


# ---------------------------------------------------------------------- trials


def fuzz(number: int, seed: int) -> tuple[list[dict], list[str]]:
  """Damages each target `number` times.

  Returns:
    A row for each target, and a line for each fault.
  """
  logging.set_verbosity(logging.ERROR)
  with TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
    folder, rows, faults = Path(place) / "files", [], []
    sound = {name: _sound(folder, target) for name, target in TARGETS.items()}
    others = [
        file for content, _ in sound.values() for file in content.values()
    ]
    for name, (content, wanted) in sound.items():
      counts = dict.fromkeys(("refused", "same", "accepted", "faults"), 0)
      for trial in range(number):
        rng = np.random.default_rng([seed, len(rows), trial])
        _restore(folder, content)
        file, way = _pick(sorted(content), rng), _pick((_bytes, _fields), rng)
        way(folder / file, rng, _pick(others, rng))
        found, said = _trial(folder, TARGETS[name], wanted)
        if found == "accepted" and way.__name__[1:] in TARGETS[name].exact:
          found, said = "faults", "other content was accepted"
        counts[found] += 1
        if found == "faults":
          faults.append(f"{name} {trial}, {way.__name__[1:]} of {file}: {said}")
      rows.append({"target": name, "mutations": number, **counts})
      jax.clear_caches()  # every shape has compiled a program
  return rows, faults


def _sound(folder: Path, target: Target):
  """The sound files by name, and what is read from them."""
  _restore(folder, {})
  target.make(folder)
  content = {
      str(file.relative_to(folder)): file.read_bytes()
      for file in folder.rglob("[!.]*")
      if file.is_file()
  }
  return content, target.read(folder)


def _restore(folder: Path, content: dict[str, bytes]) -> None:
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  for name, whole in content.items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(whole)


def _trial(folder: Path, target: Target, wanted) -> tuple[str, str]:
  """The result of reading a damaged file; if it is a fault, which one."""
  try:
    with _within(_SECONDS):
      found = target.read(folder)
  except _TYPED as error:
    if str(error).isprintable() and len(str(error)) <= _LONGEST:
      return "refused", ""
    return "faults", repr(error)
  except (Exception, _Hang) as error:
    at = traceback.extract_tb(error.__traceback__)[-1]
    return "faults", f"{error!r} in {at.filename}:{at.lineno}"
  return "same" if found == wanted else "accepted", ""


@contextlib.contextmanager
def _within(seconds: int):
  """Raises `_Hang` after `seconds`."""

  def stop(number, frame):
    raise _Hang

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  timing.with_settings(parser, number=300, seed=1)
  options = parser.parse_args(argv)
  rows, faults = fuzz(options.number, options.seed)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  total = sum(row["mutations"] for row in rows)
  met = not faults and peak * 2**20 < _PEAK
  timing.show(rows)
  print(*faults, f"{total} mutations, peak of {peak:.0f} MiB", sep="\n")
  verdict = dict(mutations=total, peak_mib=peak, faults=faults, met=met)
  timing.write("fuzz", options, [verdict, *rows])
  if not met:
    sys.exit(1)


if __name__ == "__main__":
  main()
