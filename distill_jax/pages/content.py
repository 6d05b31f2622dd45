"""The content of a page by part, as texts and numbers for its template."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distill_jax import figures
from distill_jax.artifact import Artifact
from distill_jax.environment import in_bytes
from distill_jax.errors import counted, plain
from distill_jax.evaluation.columns import farthest
from distill_jax.figures import captions
from distill_jax.pages.pictures import IN_TABLE
from distill_jax.text.words import is_text, sentences

NAME, DOCUMENT = 80, 20_000  # most characters of a name, of a JSON document
_NO_BREAK = "\N{NO-BREAK SPACE}"
_PAIRS, _SENTENCES, _WORDS = 10, 40, 80
_LABELS = {
    "hard": "hard: each names one class",
    "soft_fixed": "soft",
    "soft_views": "soft, a row for every view of a sample"
}
_PARTS = {
    "samples": "samples",
    "labels": "labels",
    "step_sizes": "step sizes",
    "decoder": "decoder",
    "views": "labels of views",
    "outside": "decoder that is not in the file"
}
_UNCOUNTED = {
    "initial": "initial weights",
    "teacher": "teacher",
    "vectors": "words and their vectors"
}
_ATTACKS = {
    "clean": "none",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "random_signs": "random corners"
}


class Pair(NamedTuple):
  """Samples of one class that are predicted as another.

  Attributes:
    true: name of their class.
    predicted: name of the predicted class.
    count: number of such predictions, over all networks.
    share: `count` over the number of predictions for their class, in [0, 1].
  """

  true: str
  predicted: str
  count: int
  share: float


class Confusion(NamedTuple):
  """A confusion matrix.

  Attributes:
    names: names of the classes, as they are shown.
    shares: [K, K], shares of the true class in [0, 1]; None if K is too large
      for a table.
    pairs: the ten pairs of classes that are confused most.
    total: number of samples in the test part.
  """

  names: list[str]
  shares: list[list[float]] | None
  pairs: list[Pair]
  total: int


class Sentence(NamedTuple):
  """A distilled sentence: its class, label value and nearest words."""

  name: str
  value: float | None
  words: str


def facts(artifact: Artifact, report: Mapping[str, Any]) -> dict[str, str]:
  """The settings of a run, by title."""
  shape = " x ".join(map(str, artifact.inputs.shape[1:]))
  found = {
      "Method": figures.method_name(artifact),
      "Data": report["data"]["spec"],
      "Samples":
          f"{figures.set_size(artifact)}, {shape}, {artifact.num_classes} "
          "classes",
      "Labels": _LABELS.get(report["label_regime"], report["label_regime"]),
      "Parameterization": _parameterization(artifact),
      "Network": _settings(report["network"], artifact.network),
      "Training": _settings("", report["recipe"] or {}),
      "Initialisation": report["student_init"]
  }
  return {k: plain(text, 300) for k, text in found.items() if text}


def _parameterization(artifact: Artifact) -> str:
  """How samples are stored; "" where there is no other way, as for rows."""
  name, quantisation = artifact.parameterization, artifact.quantisation
  if name == "pixels" and artifact.inputs.ndim != 4:
    return ""
  if quantisation:
    name += (
        f", {quantisation['bits']} bits a value, labels "
        f"{quantisation['labels']}")
  return name


def _settings(name: str, spec: Mapping[str, Any]) -> str:
  """"convnet: depth 3, width 32", if the specification has that name."""
  if name and spec.get("name") != name:
    return name.replace("_", " ")
  rest = [
      f"{k.replace('_', ' ')} {v}" for k, v in spec.items()
      if k != "name" and not isinstance(v, dict)
  ]
  title = str(spec.get("name", "")).replace("_", " ")
  return ": ".join(filter(None, [title, ", ".join(rest)]))


def tiles(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
  """The most important numbers: title, number, and what it refers to.

  A narrow tile may break a number before its ±, but not before its unit.
  """
  of = [counted(report["num_networks"], "network")]
  if "num_test_samples" in report:  # reports of earlier versions lack it
    of.append(counted(report["num_test_samples"], "test sample"))
  found = [
      ("test accuracy", with_error(report["accuracy"], "%"), ", ".join(of))
  ]
  random = report["baselines"].get("random_real")
  if random:
    gain = random["gain"]
    found.append(("random real", with_error(random, "%"), "as many samples"))
    error = ""
    if gain.get("margin") is not None:
      error = f"95 % interval ± {100 * gain['margin']:.1f}"
    found.append(("gain", f"{100 * gain['mean']:+z.1f} points", error))
  found.append((
      "stored", size(report["storage_bytes"]["total"]),
      f"{report['num_samples']:,} samples"))
  if report["seconds"].get("distill") is not None:
    found.append(("distilled in", duration(report["seconds"]["distill"]), ""))
  return [(title, _ending_whole(number), of) for title, number, of in found]


def _ending_whole(number: str) -> str:
  """"39.8 ± 0.5 %" that no line breaks behind its ±."""
  mean, mark, error = number.partition(" ± ")
  if not mark:
    return number.replace(" ", _NO_BREAK)
  return f"{mean} ±{_NO_BREAK}{error.replace(' ', _NO_BREAK)}"


def percent(fraction: float | None, digits: int = 2) -> str:
  """A fraction in percent, without the sign; "–" for None."""
  return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def with_error(
    entry: Mapping[str, Any],
    unit: str = "",
    *,
    scale: float = 100,
    digits: int = 1,
    error: str = "std") -> str:
  """"39.8 ± 0.5 %": a mean, with its spread if there are several networks."""
  if entry["mean"] is None:
    return "not finite"
  text = f"{scale * entry['mean']:.{digits}f}"
  if len(entry["per_network"]) > 1:
    text += f" ± {scale * entry[error]:.{digits}f}"
  return f"{text} {unit}".rstrip()


def size(number: int) -> str:
  """"3,040 bytes", "160 kB", "1.23 MB"."""
  if number < 10_000:
    return f"{number:,} bytes"
  if number < 1_000_000:
    return f"{number / 1e3:.0f} kB"
  return f"{number / 1e6:,.2f} MB"


def duration(seconds: float) -> str:
  """"0.0123 s", "2 min 22 s", "3 h 5 min"."""
  if seconds < 1:
    return f"{seconds:.3g} s"
  if seconds < 100:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def words(artifact: Artifact) -> tuple[list[Sentence], int]:
  """Some sentences of a set of texts, class by class, and their number."""
  if not is_text(artifact):
    return [], 0
  texts = sentences(artifact)
  read = captions.shown(
      artifact.labels, len(texts), artifact.class_names, artifact.label_space)
  groups = [*captions.by_class(read).values()]
  each = max(1, _SENTENCES // len(groups))
  chosen = [i for group in groups for i in group[:each]][:_SENTENCES]
  return [
      Sentence(
          plain(artifact.class_names[read.classes[i]], NAME),
          None if read.hard else float(read.rows[i].max()),
          plain(
              " ".join(texts[i][:_WORDS]) + " …" * (len(texts[i]) > _WORDS),
              2_000)) for i in chosen
  ], len(texts)


def confusion(
    artifact: Artifact, report: Mapping[str, Any]) -> Confusion | None:
  """The confusion matrix of a report and its worst pairs; None without one."""
  if "confusion" not in report:
    return None
  counts = np.asarray(report["confusion"], np.int64)
  sums = np.maximum(counts.sum(1, keepdims=True), 1)
  names = [plain(name, NAME) for name in artifact.class_names]
  wrong = counts - np.diag(np.diag(counts))
  order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
  pairs = [
      Pair(
          names[i], names[j], int(wrong[i, j]), float(wrong[i, j] / sums[i, 0]))
      for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
      if wrong[i, j]
  ]
  small = len(counts) <= IN_TABLE
  return Confusion(
      names, (counts / sums).tolist() if small else None, pairs,
      int(counts.sum()) // report["num_networks"])


def attacks(report: Mapping[str, Any]) -> dict[str, Any] | None:
  """Accuracies under attack: `how`, and `rows` of title and number."""
  block = report.get("attacks")
  if block is None:
    return None
  rows = [(
      f"{title}-{block['num_steps']}" if name == "pgd" else title,
      with_error(block[name], digits=2, error="stderr"))
          for name, title in _ATTACKS.items()
          if name in block]
  how = (
      f"{block['num_samples']:,} test samples, moved by at most "
      f"{farthest(block)}")
  if "zero_gradient" in block:
    share = with_error(block["zero_gradient"], "%", digits=2, error="stderr")
    how += f"; without a gradient are {share} of them"
  return dict(how=how, rows=rows)


def calibration(report: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Title and number of each measure of calibration."""
  block = report.get("calibration")
  if block is None:
    return []
  return [
      (
          f"expected calibration error, {block['num_bins']} bins",
          with_error(block["ece"], "%", digits=2, error="stderr")),
      (
          "negative log-likelihood",
          with_error(block["nll"], "nats", scale=1, digits=3, error="stderr"))
  ]


def costs(report: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Title and number of seconds, memory and operations."""
  seconds, found = report["seconds"], []
  for field, title in (("distill", "distilling"), ("step", "one outer step"),
                       ("evaluate", "evaluating")):
    if seconds.get(field) is not None:
      found.append((title, duration(seconds[field])))
  if report.get("memory_bytes"):
    found.append(
        ("most memory while distilling", in_bytes(report["memory_bytes"])))
  for field, title in (("set", "the set"), ("all", "all data")):
    cost = report.get("cost", {}).get(field)
    if cost:
      found.append(
          (f"training one network on {title}", duration(cost["seconds"])))
      if cost["flops"] is not None:
        found.append((
            f"operations of that training on {title}",
            f"{cost['flops']:.3g} FLOPs"))
  return found


def storage(report: Mapping[str, Any]) -> dict[str, Any]:
  """Bytes by part: `parts` of title, bytes and share; `total`; a `note`."""
  sizes = report["storage_bytes"]
  total = max(sizes["total"], 1)
  notes = []
  if "bits_per_class" in report:
    notes.append(f"{report['bits_per_class']:,.0f} bits a class.")
  if "compressed_bytes" in report:
    notes.append(f"{report['compressed_bytes']:,} bytes compressed by zlib.")
  notes += [
      f"Not counted: {title}, {sizes[name]:,} bytes."
      for name, title in _UNCOUNTED.items()
      if sizes.get(name)
  ]
  return dict(
      parts=[(title, sizes[name], sizes[name] / total)
             for name, title in _PARTS.items()
             if sizes.get(name)],
      total=sizes["total"],
      note=" ".join(notes))


def provenance(
    artifact: Artifact, report: Mapping[str, Any],
    config: Mapping[str, Any]) -> tuple[list[tuple[str, str]], dict[str, str]]:
  """Short facts by title, and JSON documents by title."""
  versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
  short = [("fingerprint of the data", report["data"]["fingerprint"]),
           ("seed", report.get("seed")), ("device", report["device"]),
           ("versions", versions), ("revision", config.get("git_revision"))]
  method = dict(artifact.provenance)
  documents = {
      "Settings of the method and origin of the set": method,
      "The network that the set was made for": artifact.network,
      "How networks are trained on the set": report["recipe"],
      "The data": report["data"],
      "Configuration of the run": config.get("config")
  }
  return ([
      (title, plain(value, 300)) for title, value in short if value is not None
  ], {
      title: as_json(document)
      for title, document in documents.items()
      if document
  })


def command_lines(command: str) -> str:
  """A shell command with every option on a line of its own."""
  try:
    parts = shlex.split(plain(command, 8_000))
  except ValueError:  # the command is cut within quotation marks
    return plain(command, 8_000)
  return "".join(
      (" \\\n  " if part.startswith("--") else " ") + shlex.quote(part)
      for part in parts).strip()


def as_json(document) -> str:
  """A JSON document as indented text, cut if it is too long."""
  text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
  text = "\n".join(plain_line(line) for line in text.split("\n"))
  return text if len(text) <= DOCUMENT else f"{text[:DOCUMENT]}\n…"


def plain_line(line: str) -> str:
  """A line with its indentation, without control characters."""
  indent = len(line) - len(line.lstrip())
  return " " * indent + plain(line, 500)


def differences(reports: Sequence[Mapping[str, Any]]) -> list[str]:
  """What differs between runs, so that their accuracies compare less well."""
  values: dict[str, list] = {
      "data": [r["data"]["fingerprint"] for r in reports],
      "network": [r["network"] for r in reports],
      "training of networks": [r["recipe"] for r in reports],
      "number of samples": [r["num_samples"] for r in reports],
      "bytes": [r["storage_bytes"]["total"] for r in reports]
  }
  return [k for k, found in values.items() if _differ(found)]


def _differ(values: Sequence[Any]) -> bool:
  return any(value != values[0] for value in values)
