"""The data set card of a distilled set: Markdown with a header in YAML.

Hugging Face reads the header ("Dataset Cards", huggingface.co/docs/hub). What
the set itself does not say is left to its maker: the licence above all.
"""

import json
from collections.abc import Mapping
from typing import Any

from distill_jax.artifact.file import SET
from distill_jax.artifact.libraries import shown
from distill_jax.artifact.record import Artifact
from distill_jax.errors import listed

# Where a folder holds the rows; the set itself is in `SET`.
ROWS = "data/train-00000-of-00001.parquet"

_TASKS = {
    "features": "tabular-classification",
    "image": "image-classification",
    "text": "text-classification"
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_SPACES = {
    "centred": "targets of a regression",
    "logits": "probabilities, softmaxed from learned logits",
    "probabilities": "probabilities",
    "raw": "unrestricted targets of the cross-entropy"
}
_FACTS = ("method", "fingerprint", "versions")  # of the provenance
_NAMES = 30  # of classes


def text(
    artifact: Artifact,
    report: Mapping[str, Any] | None = None,
    licence: str | None = None) -> str:
  """`Artifact.card`."""
  parts = [
      _header(artifact, licence), f"# {_title(artifact)}",
      _what(artifact),
      _made(artifact)
  ]
  if report:
    parts.append(_results(report))
  parts += [_use(artifact), _rights(licence)]
  return "\n\n".join(parts) + "\n"


def _data(artifact: Artifact) -> str:
  return str(artifact.provenance.get("data") or "a data set")


def _title(artifact: Artifact) -> str:
  method = artifact.provenance.get("title") or artifact.method
  return f"{_data(artifact)} in {artifact.num_samples:,} samples, by {method}"


def _header(artifact: Artifact, licence) -> str:
  sizes = [name for most, name in _SIZES if artifact.num_samples < most]
  fields: dict[str, Any] = {"pretty_name": _title(artifact)}
  if licence:
    fields["license"] = licence
  if artifact.modality in _TASKS:
    fields["task_categories"] = [_TASKS[artifact.modality]]
  fields["size_categories"] = [(sizes or ["100K<n<1M"])[0]]
  fields["tags"] = ["dataset-distillation", "distill_jax"]
  fields["configs"] = [
      dict(
          config_name="default",
          data_files=[dict(split="train", path="data/train-*")])
  ]
  # JSON values are YAML too.
  lines = [
      f"{name}: {json.dumps(value, ensure_ascii=False)}"
      for name, value in fields.items()
  ]
  return "\n".join(["---", *lines, "---"])


def _what(artifact: Artifact) -> str:
  rows = {
      "hard": "name one class each",
      "soft_fixed": "are soft: " + _SPACES[artifact.label_space],
      "soft_views":
          "are those of the samples as they are; labels of augmented views "
          f"are in `{SET}` alone"
  }[artifact.label_regime]
  shape = " x ".join(map(str, artifact.inputs.shape[1:]))
  lines = [
      f"{artifact.num_samples:,} distilled samples that stand in for the "
      f"training part of {_data(artifact)}: networks are trained on them alone "
      "and tested on real data. They describe the data in no other way, so "
      "their means and correlations are not those of the data.", "",
      f"- kind: {artifact.modality}, {shape}",
      f"- classes ({artifact.num_classes}): "
      f"{listed(artifact.class_names, _NAMES)}", f"- labels: {rows}",
      f"- bytes: {artifact.storage_bytes['total']:,}"
  ]
  if artifact.student_init == "fixed":
    lines.append(
        "- initialisation: the set is of use to the network weights in "
        f"`{SET}` alone, from which training must start")
  if artifact.step_sizes.size:
    lines.append(
        f"- training: {artifact.step_sizes.size} learned step sizes and the "
        f"order of the samples are in `{SET}` alone; other training may lose "
        "accuracy")
  return "\n".join(lines)


def _made(artifact: Artifact) -> str:
  known = artifact.provenance
  lines = [
      "## How it was made", "",
      f"Method `{artifact.method}` of the Python library `distill_jax`, "
      f"samples stored as `{artifact.parameterization}`, for the network "
      f"`{artifact.network.get('name', 'unknown')}`."
  ]
  if known.get("made_by"):
    lines += ["", "```text", *known["made_by"], "```"]
  facts = dict(recipe=artifact.recipe, quantisation=artifact.quantisation)
  facts |= {name: known.get(name) for name in _FACTS}
  written = [
      f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}"
      for name, value in facts.items()
      if value
  ]
  return "\n".join([*lines, "", "```text", *written, "```"])


def _results(report: Mapping[str, Any]) -> str:
  """Accuracies of networks trained on the set, and beside it."""
  rows = [("this set", report["accuracy"])]
  rows += [(name.replace("_", " "), entry)
           for name, entry in report.get("baselines", {}).items()]
  lines = [
      "## Results", "",
      f"Accuracy of `{report['network']}` on the test part of "
      f"{report.get('data', {}).get('spec', 'the data')}, in %, with the "
      "standard deviation over the networks.", "",
      "| trained on | accuracy | networks |", "|---|---|---|"
  ]
  lines += [
      f"| {name} | {100 * entry['mean']:.2f} ± {100 * entry['std']:.2f} | "
      f"{len(entry['per_network'])} |" for name, entry in rows
  ]
  if "full_data_accuracy" in report:
    lines.append(f"| all data | {100 * report['full_data_accuracy']:.2f} | |")
  if report.get("command"):
    lines += ["", "```text", report["command"], "```"]
  return "\n".join(lines)


def _use(artifact: Artifact) -> str:
  beside = "are the samples in the units of the data"
  if artifact.modality == "image" and shown(artifact) is not None:
    beside = "is `image`, in 8 bits for the eye"
  soft = "" if artifact.hard_rows else (
      " Train on `soft_label`; `label` is only its largest entry.")
  target = "label" if artifact.hard_rows else "soft_label"
  return f"""## How to use it

```python
from datasets import load_dataset

rows = load_dataset("FOLDER OR NAME", split="train").with_format("numpy")
x, y = rows["inputs"][:], rows["{target}"][:]
```

`inputs` are float32 in model space, exact; beside them {beside}.{soft}

Test data must be taken to the space of `inputs` first, which `{SET}` knows how
to do:

```python
import distill_jax as dd

made = dd.load("{SET}")
x, y, loss, prepare = made.to_keras()  # or to_torch, to_numpy
print(dd.evaluate(made, source))       # source: the real data, see dd.read
```"""


def _rights(licence) -> str:
  named = f"{licence}. " if licence else ""
  return f"""## Licence

{named}The samples were computed from the data named above and may resemble
some of them, so the licence of the data may apply to this set too."""
