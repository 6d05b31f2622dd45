"""Reads a data set named by one line of text, called a SPEC.

  digits          scikit-learn's digits; needs no download
  idx:DIR         the four files of MNIST and similar data, gzipped or not
  npz:FILE        arrays x_train, y_train, optionally those of other parts (see
                  `parts`), and optionally class_names
  folder:DIR      CLASS/FILE, also below train/ and test/, see `image_folder`;
                  folder:DIR?size=32 or size=HxW resizes; ground=black is
                  the colour behind transparent pixels (white by default)
  csv:PLACE?...   texts or tables of numbers, see `delimited`
  npy:DIR         x_train.npy, y_train.npy and optionally those of other parts,
                  read row by row: for data larger than memory, see `pack`
  tfds:NAME       TensorFlow Datasets

If there is no test part, a fifth of every class becomes the test part.
?test=0.3 (or &test=0.3 after another option) sets another share, and ?test=0
holds out nothing. The choice depends on the data only, so everyone who reads
the same SPEC tests on the same samples. Each reader returns the arguments of
`from_arrays`, which checks them. This module is the only parser of SPECs.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from distill_jax import kinds, unpacking
from distill_jax.choices import nearest
from distill_jax.data import (
    delimited,
    image_folder,
    labelling,
    packed,
    parts,
    tfds,
)
from distill_jax.data.corpus import from_texts
from distill_jax.data.embedded import digits
from distill_jax.data.making import from_arrays, from_host
from distill_jax.data.parts import TEST_FRACTION
from distill_jax.data.source import Source
from distill_jax.errors import DataError, fitting, plain, shown
from distill_jax.types import Preprocessing

_KINDS = ", ".join(kinds.patterns())
# The kind of a file that is no SPEC, by its ending.
_FILES = {".csv": "csv", ".tsv": "csv", ".npz": "npz"}
# If a folder also has such files, it is not clear which data are meant.
_OTHERS = ("*.csv", "*.tsv", "*.npz", "*.npy", "*ubyte*")
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_TEXT_OPTIONS = ("vectors", "length", "max_words", "tokens", "drop_duplicates")
# In some copies of MNIST the names have a dot before idx.
_IDX = re.compile(r"(\w+)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
# Options after the ? of a SPEC; `delimited` has those of csv.
_OPTIONS = {"folder": ("size", "resize", "ground", "test")}


def read(
    spec: str,
    *,
    data_dir: str | os.PathLike | None = None,
    text: Mapping[str, Any] = MappingProxyType({}),
    class_names: Sequence[str] | None = None,
    preprocessing: (
        str | Preprocessing | Callable[[np.ndarray], Preprocessing] |
        None) = None,
    test_fraction: float | None = None,
    validation_fraction: float = 0.0,
    seed: int = 0) -> Source:
  """Reads the data set that a specification names.

  Args:
    spec: one line of the table in the module's description.
    data_dir: folder in which relative paths are looked for after the working
      directory, and in which tfds keeps its data; by default the environment
      variable DISTILL_JAX_DATA.
    text: further options of `from_texts`, if the data are texts: vectors,
      length, max_words, tokens, drop_duplicates.
    class_names: as in `from_arrays`.
    preprocessing: as in `from_arrays`; for texts as in `from_texts`.
    test_fraction: share of every class that becomes the test part if the data
      have none and the SPEC has no test=...; 0 for none.
    validation_fraction: as in `from_arrays`.
    seed: as in `from_arrays`.

  Returns:
    The source, named `spec`. `facts["test_part"]` describes a test part that
    was held out here, `facts["left_out"]` what was not read, and
    `facts["numbering"]` columns that may be row numbers.

  Raises:
    DataError: the SPEC is of an unknown kind, names nothing that exists, or its
      content cannot be used.

  Example:
    source = dd.read("digits")
  """
  if not isinstance(spec, str):
    raise DataError(
        f"`spec` must be one text of {_KINDS}; got {shown(spec)}. A path goes "
        "behind its kind.")
  data_dir = data_dir or os.environ.get("DISTILL_JAX_DATA")
  kind, _, place = spec.partition(":")
  given = dict(
      class_names=class_names,
      preprocessing=preprocessing,
      test_fraction=test_fraction,
      validation_fraction=validation_fraction,
      seed=seed,
      name=spec)
  options = {name: value for name, value in given.items() if value is not None}
  if kind == "csv" and place:
    return _table(spec, place, data_dir, text, options)
  if kind == "npy" and place:
    return _rows(spec, place, data_dir, options)
  share = None
  files = {"idx": _idx, "npz": _npz, "folder": image_folder.read_folder}
  if spec == "digits":
    arrays = dict(zip(_PARTS, digits(), strict=True))
  elif kind == "tfds" and place:
    arrays = tfds.arrays(place, data_dir)
  elif kind in files and place:
    place, look, share = _said(kind, place)
    path = located(spec, place, data_dir)
    if kind in ("idx", "folder"):
      _require_folder(path)
    arrays = files[kind](path, **look)
  else:
    told = kind_of(Path(spec.partition("?")[0]).expanduser())
    hint = f" Did you mean {plain(f'{told}:{spec}', 110)!r}?" if told else ""
    hint = hint or nearest(["digits"], spec)
    raise DataError(
        f"`spec` must be one of {_KINDS}; got {plain(spec)!r}.{hint}")
  if kind == "npz" and np.ndim(arrays["x_train"]) == 3:
    options.setdefault("kind", "image")
  return _made(from_arrays, arrays, share, options)


def texts(
    spec: str,
    *,
    data_dir: str | os.PathLike | None = None,
    hold_out: bool = True) -> dict[str, Any] | None:
  """Reads the raw texts and labels of a SPEC, and how to split the texts.

  Labels of different parts are not compared, as word vectors do not depend on
  labels.

  Args:
    spec: as in `read`.
    data_dir: as in `read`.
    hold_out: whether texts without a test part are split as by `read`.

  Returns:
    A dict with `x_train`, `y_train` and the same of the other parts, and
    `tokens` if the SPEC gives it, as arguments of `from_texts`; None if the
    data are not texts.
  """
  kind, _, place = spec.partition(":")
  if kind != "csv":
    return None
  place, wanted = delimited.columns(place)
  if wanted.text is None:
    return None
  data_dir = data_dir or os.environ.get("DISTILL_JAX_DATA")
  found = delimited.read_table(
      located(spec, place, data_dir), wanted, check_labels=False)
  if hold_out:
    found, _ = parts.hold_out(found, wanted.test)
  return found | ({"tokens": wanted.tokens} if wanted.tokens else {})


def _table(spec, place, data_dir, text, options):
  """Makes a source of texts, or of columns of numbers."""
  place, wanted = delimited.columns(place)
  place = located(spec, place, data_dir)
  if wanted.text is None:
    found = delimited.read_table(place, wanted)
    return _made(from_arrays, found, wanted.test, options)
  if options.get("preprocessing") == "standardise":
    raise DataError(
        "`preprocessing` must be word_vectors or averaged_vectors for texts; "
        "got 'standardise'.")
  unknown = sorted(set(text) - set(_TEXT_OPTIONS))
  if unknown:
    raise DataError(
        f"`text` must have keys among {', '.join(_TEXT_OPTIONS)}; got "
        f"{', '.join(unknown)}.")
  if wanted.tokens is not None:
    text = {**text, "tokens": wanted.tokens}
  found = delimited.read_table(place, wanted)
  return _made(from_texts, found, wanted.test, {**text, **options})


def kind_of(path: Path) -> str | None:
  """The kind of SPEC that a path alone tells; None if it may be several.

  A folder of class folders with pictures is of kind folder, also below parts
  such as train/; the ending tells the kind of a file.

  Args:
    path: of a folder that exists, or of a file.
  """
  if not path.is_dir():
    return _FILES.get(path.suffix.lower())
  pictures = any(
      file.suffix.lower() in image_folder.SUFFIXES
      for pattern in ("*/*", "*/*/*")
      for file in path.glob(pattern))
  others = any(any(path.glob(pattern)) for pattern in _OTHERS)
  return "folder" if pictures and not others else None


def _rows(spec, place, data_dir, options):
  """Makes a source of samples that stay in their files."""
  place, _, share = _said("npy", place)
  folder = located(spec, place, data_dir)
  _require_folder(folder)
  return _made(from_host, packed.read(folder), share, options)


def _made(make, arrays, share: float | None, options) -> Source:
  """Makes the source; its facts say what was held out and left out."""
  # A caller who gives `test_fraction` wants no other test part.
  usual = 0.0 if "test_fraction" in options else TEST_FRACTION
  arrays, held = parts.hold_out(arrays, share, usual)
  facts = {"test_part": held}
  facts |= {name: arrays.pop(name, "") for name in ("left_out", "numbering")}
  fraction = {"test_fraction": options.get("test_fraction") or 0}
  # Class names stored with the labels define what the labels mean.
  source = make(**{**options, **arrays, **fraction})
  if "class_names" in arrays and "class_names" in options:
    source = source.in_classes(labelling.as_names(options["class_names"]))
  facts = {name: said for name, said in facts.items() if said}
  return source._replace(facts={**source.facts, **facts})


def _said(kind, place):
  """Returns PLACE, the options of `read_folder`, and the share to hold out."""
  place, marked, query = place.partition("?")
  items = [item.partition("=") for item in query.split("&") if item]
  given = {name: value for name, _, value in items}
  known = _OPTIONS.get(kind, ("test",))
  sizes = [given[name] for name in ("size", "resize") if name in given]
  size = sizes[0] if sizes else None
  sides = image_folder.sides("1" if size is None else size)
  once = len(given) == len(items) and len(sizes) < 2
  if (bool(marked) != bool(given) or not set(given) <= set(known) or
      not sides or not once):
    allowed = "?test=0.2"
    if kind == "folder":
      allowed = (
          "?size=32 or ?size=HxW, ?ground=black, ?test=0.2, each once and "
          "joined by &,")
    raise DataError(
        f"`spec` must end in {allowed} where it has a ?; got "
        f"{plain(marked + query)!r}.")
  look = {"ground": given["ground"]} if "ground" in given else {}
  if size is not None:
    look["size"] = sides
  return place, look, parts.share_of(given.get("test"))


def located(spec, place, data_dir):
  """Returns the path as given if it exists, else the path below `data_dir`."""
  paths = [Path(place).expanduser()]
  if data_dir is not None:
    paths.append(Path(data_dir).expanduser() / place)
  for path in paths:
    if os.path.exists(path):  # also False if a name is too long
      return path
  tried = plain(" or ".join(map(str, dict.fromkeys(paths))), 120)
  raise DataError(
      f"`spec` must name what exists; got {plain(spec)!r}, and there is "
      f"no {tried}. Correct it or set --data_dir or $DISTILL_JAX_DATA.")


def _require_folder(path):
  if not path.is_dir():
    raise DataError(f"`spec` must name a folder; got {path}, a file.")


# ---------------------------------------------------------------------- idx


def _idx(folder):
  """Finds the files by their published names; `t10k` is the test part."""
  files = {}
  for file in unpacking.entries(folder):
    found = _IDX.fullmatch(file.name)
    if found:
      name = "test" if found[1] == "t10k" else found[1]
      kind = "x" if found[2] == "images" else "y"
      # NAME comes before NAME.gz; it may have been unpacked from that file.
      files.setdefault((kind, found[1]), (name, file))
  arrays = {
      f"{kind}_{part}": _idx_array(file, 3 if kind == "x" else 1)
      for kind in "xy" for part, file in parts.by_part(
          folder, [files[key] for key in files if key[0] == kind]).items()
  }
  for part in {"train"} | {name[2:] for name in arrays}:
    for kind, name in ("x", "images-idx3-ubyte"), ("y", "labels-idx1-ubyte"):
      if f"{kind}_{part}" not in arrays:
        name = f"{'t10k' if part == 'test' else part}-{name}"
        raise DataError(
            f"`spec` must hold {name} or {name}.gz; {folder} has none.")
  return arrays


def _idx_array(path, rank):
  """Reads one file: 0, 0, type, rank, sizes (big-endian), then the bytes."""
  magic = bytes([0, 0, 8, rank])
  with unpacking.opened(path) as stream:
    begin = stream.read(4)
    if begin != magic:
      raise DataError(
          f"`spec` must hold idx files; {path} should begin with the bytes "
          f"{magic.hex()}, got {begin.hex() or 'none'}. Download it again.")
    sizes = stream.read(4 * rank)
    shape = np.frombuffer(sizes.ljust(4 * rank, b"\0"), ">u4").tolist()
    header, size = 4 + 4 * rank, math.prod(shape)
    packed = path.stat().st_size
    unpacking.check_size(size, packed, path, "spec")
    content = stream.read(size)
    rest = len(stream.read(1))
  if len(sizes) < 4 * rank or len(content) < size or rest:
    got = 4 + len(sizes) + len(content)
    raise DataError(
        f"`spec` must hold whole files; {path} should have {header + size} "
        f"bytes unpacked, got {'more' if rest else got}. Download it again.")
  return np.frombuffer(content, np.uint8).reshape(shape)


# ---------------------------------------------------------------------- npz


def _npz(path):
  """Reads arrays by name, in any case and with other names of the parts."""
  with unpacking.arrays(path) as archive:
    names = {
        f"{letter}_{part}": name for letter in "xy"
        for part, name in parts.by_part(
            path, [(name[2:], name)
                   for name in archive
                   if name[:2].lower() == f"{letter}_"]).items()
    }
    missing = {"x_train", "y_train"} - set(names)
    if missing:
      raise DataError(
          f"`spec` must hold {' and '.join(sorted(missing))}; {path} holds "
          f"{fitting(archive, 100) or 'nothing'}. Name its arrays so.")
    if "class_names" in archive:
      names["class_names"] = "class_names"
    found: dict[str, Any] = {
        argument: archive[name] for argument, name in names.items()
    }
    others = sorted(set(archive) - set(names.values()))
  if others:
    found["left_out"] = f"arrays that were left out: {fitting(others, 100)}"
  return found
