"""TensorFlow Datasets as arrays, decoded once.

A prepared data set is read with random access and without TensorFlow. Only
preparing a data set (download and conversion) needs TensorFlow. Decoding is
slow (60,000 MNIST images: 43 s), so the decoded arrays are kept as NAME.npz in
the data folder. Delete that file to decode again.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from distill_jax import storage, unpacking
from distill_jax.errors import DataError, fitting, plain
from distill_jax.types import FilePath


def arrays(name: str, data_dir: FilePath | None = None) -> dict:
  """Returns the arguments of `from_arrays` for images with one label each.

  Args:
    name: a name of TensorFlow Datasets, such as "mnist" or "mnist:3.0.1".
    data_dir: the data folder of TensorFlow Datasets; by default
      ~/tensorflow_datasets. Original files that cannot be downloaded are looked
      for in its subfolder downloads/manual/NAME, else in downloads/manual.

  Returns:
    x_train, y_train, class_names, and the same for the splits "validation" and
    "test"; if there is no test split, "validation" becomes the test part.

  Raises:
    DataError: TensorFlow Datasets is not installed, the data set is unknown or
      not prepared, or it does not consist of images with labels.
  """
  folder = Path(data_dir or "~/tensorflow_datasets").expanduser()
  cache = folder / f"{name.replace('/', '-').replace(':', '-')}.npz"
  if not cache.exists():
    _write(cache, _decode(_builder(name, folder), name))
  with unpacking.arrays(cache) as archive:
    parts = ("train", "validation", "test")
    known = {"class_names", *(f"{kind}_{p}" for kind in "xy" for p in parts)}
    if not {"x_train", "y_train", "class_names"} <= set(archive) <= known:
      raise DataError(
          f"`spec` must hold x_train, y_train and class_names; {cache} holds "
          f"{fitting(archive, 100)}. Delete it to decode again.")
    return dict(archive)


def _builder(name, folder):
  """Returns a builder whose data set is prepared."""
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise DataError(
        f"`spec` must not be tfds:{name} without tensorflow_datasets. Install "
        "it: pip install 'distill_jax[data]'.") from error
  try:
    builder = tensorflow_datasets.builder(
        name, data_dir=folder, file_format="array_record")
  except ValueError as error:  # its message lists hundreds of names
    reason = plain(str(error).split("\n")[0], 100)
    raise DataError(
        f"`spec` must name a data set of TensorFlow Datasets; got {name!r}: "
        f"{reason}") from error
  _image_and_label(builder.info, name)
  manual = folder / "downloads" / "manual"
  if (manual / builder.name).is_dir():  # data sets may share file names
    manual = manual / builder.name
  config = tensorflow_datasets.download.DownloadConfig(manual_dir=manual)
  try:
    builder.download_and_prepare(download_config=config)
  except (AssertionError, ImportError, OSError) as error:
    raise DataError(
        f"`spec` must name a data set that can be prepared; {name} failed: "
        f"{plain(error, 100)}. Preparing needs TensorFlow and the "
        f"original files, from the network or in {manual}.") from error
  return builder


def _image_and_label(info, name) -> tuple[Any, ...]:
  """The names of the two features; their kinds are checked."""
  from tensorflow_datasets import features

  keys = info.supervised_keys or ()
  kinds = [type(info.features[key]) for key in keys if key in info.features]
  if kinds != [features.Image, features.ClassLabel]:
    found = ", ".join(kind.__name__ for kind in kinds) or "neither"
    raise DataError(
        f"`spec` must name a data set of images with one class label each; "
        f"{name} offers {found}.")
  return keys


def _decode(builder, name):
  image, label = _image_and_label(builder.info, name)
  splits = builder.info.splits
  if "train" not in splits:
    raise DataError(
        f"`spec` must name a data set with a split train; {name} has "
        f"{', '.join(splits)}.")
  parts = {s: s for s in ("train", "validation", "test") if s in splits}
  if "test" not in parts and "validation" in parts:
    parts["test"] = parts.pop("validation")
  result = {"class_names": np.array(builder.info.features[label].names)}
  for part, split in parts.items():
    samples = _all(builder.as_data_source(split))
    images = [sample[image] for sample in samples]
    shapes = sorted({picture.shape for picture in images})
    if len(shapes) > 1:
      raise DataError(
          f"`spec` must name images of one size; {name} has {shapes[0]} and "
          f"{shapes[1]}. Resize them into an .npz file.")
    result[f"x_{part}"] = np.stack(images)
    labels = [sample[label] for sample in samples]
    result[f"y_{part}"] = np.array(labels, np.int32)
  return result


def _all(samples):
  return [samples[index] for index in range(len(samples))]


def _write(path, contents):
  """Writes an archive that appears complete or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  archive = io.BytesIO()
  np.savez(archive, **contents)
  storage.replace(path, archive.getvalue())
