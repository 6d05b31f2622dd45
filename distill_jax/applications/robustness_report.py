"""The rows and the tables of a robustness audit of small sets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.applications.findings import (
    aligned,
    mean_and_error,
    with_error,
)
from distill_jax.evaluation.columns import farthest

_ATTACKS = {
    "clean": "clean",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "random_signs": "corners",
    "zero_gradient": "no grad."
}


def rows_of(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """One row per arm, with numbers pooled over sets and networks.

  Args:
    found: arms whose `found` holds the result of `judging` for each set.

  Returns:
    The arms with `mean` and `stderr` of accuracy. Each measure is
    `{mean, stderr, per_network}` ([sets][networks]) under its name, or None.
    `stderr` is None for one network of one set.
  """
  rows = []
  for arm in found:
    documents = arm["found"]
    row = {k: v for k, v in arm.items() if k != "found"}
    flat = [_flat(document) for document in documents]
    measures = {name: _pooled([one[name] for one in flat]) for name in flat[0]}
    for name in ("samples", "seconds"):  # of training on all data
      if name in documents[0]:
        measures[f"{name}_taken"] = documents[0][name]
    attacks = documents[0]["attacks"]
    rows.append({
        **row, "mean": measures["accuracy"]["mean"],
        "stderr": measures["accuracy"]["stderr"],
        "num_sets": len(documents),
        "num_networks": len(documents[0]["accuracy"]["per_network"]),
        "attacked":
            attacks and {
                k: attacks[k]
                for k in ("unit", "eps", "num_steps", "num_samples")
            },
        "diverged": sum(document["diverged"] for document in documents),
        **measures
    })
  return rows


def of_kind(rows: Sequence[Mapping[str, Any]], kind: str,
            **fields: Any) -> list[Mapping[str, Any]]:
  """The rows of one kind whose fields have the given values.

  Args:
    rows: rows as `rows_of` returns them.
    kind: "clean", "poisoned", "matched", "same_samples" or "same_seconds".
    **fields: values by name.
  """
  return [
      row for row in rows if row["kind"] == kind and all(
          row.get(name) == value for name, value in fields.items())
  ]


def _flat(document) -> dict[str, Any]:
  """All measures of one set by name."""
  attacks, calibration = document["attacks"], document["calibration"]
  return {
      **{
          name: document[name] for name in (
              "accuracy", "worst_class", "class_std", "success")
      },
      **{
          name: attacks and attacks[name] for name in _ATTACKS
      },
      **{
          name: calibration and calibration[name] for name in ("ece", "nll")
      }
  }


def _pooled(entries) -> dict[str, Any] | None:
  """Statistics over sets if there are several, else over networks."""
  if entries[0] is None:
    return None
  values = [entry["per_network"] for entry in entries]
  finite = [[v for v in one if v is not None] for one in values]
  if not all(finite):
    return dict(mean=None, stderr=None, per_network=values)
  units = [np.mean(one) for one in finite] if len(finite) > 1 else finite[0]
  return dict(mean_and_error(units), per_network=values)


def table(document: Mapping[str, Any]) -> str:
  """The text of an audit: sets, budgets, poison, and how they were measured."""
  rows, settings = document["rows"], document["settings"]
  parts = [_sets(rows, settings, document.get("left_out", ()))]
  if settings["all_data"]:
    parts.append(_budgets(rows, settings))
  if settings["poison"]:
    parts.append(_poison(rows, document))
  return "\n\n".join(parts)


def _sets(rows, settings, left_out) -> str:
  heads = [
      "set", "bytes", "accuracy", "worst", "sd", "ECE", "NLL",
      *_ATTACKS.values()
  ]
  lines, attacked = [], None
  for row in of_kind(rows, "clean"):
    attacked = attacked or row["attacked"]
    lines.append([
        row["arm"], f"{row['bytes']:,}",
        _percent(row["accuracy"]),
        _percent(row["worst_class"], False),
        _percent(row["class_std"], False),
        _percent(row["ece"], False),
        _number(row["nll"]), *(_percent(row[name], False) for name in _ATTACKS)
    ])
  each, sets = settings["num_networks"], settings["num_sets"]
  over = "sets" if sets > 1 else "the networks of one set"
  error = f" and standard errors over {over}" if max(each, sets) > 1 else ""
  notes = [
      f"{settings['per_class']} label rows a class, {sets} set(s) of each, "
      f"{each} network(s) trained on each; % of test samples{error}. worst, "
      "sd: accuracy of a network's worst class and standard deviation over "
      "classes. ECE in %, NLL in nats, of outputs that are logits."
  ]
  recipes: dict[str, list[str]] = {}
  for row in of_kind(rows, "clean"):
    recipes.setdefault(row["recipe"]["name"], []).append(row["arm"])
  notes.append(
      "Recipes: " + "; ".join(
          f"{name} on {', '.join(arms)}" for name, arms in recipes.items()) +
      ".")
  if attacked:
    notes.append(
        f"Attacks move each value by at most {farthest(attacked)}, on "
        f"{attacked['num_samples']:,} test samples. clean: accuracy on these "
        "samples before they are moved; FGSM: one step; PGD: "
        f"{attacked['num_steps']} steps; corners: the worst of "
        f"{attacked['num_steps']} random corners, without gradients; no grad.: "
        "samples whose gradient is zero in float32, which PGD cannot attack.")
  if "poison" in left_out:
    notes.append("No poison: the data are no images, which a trigger needs.")
  if diverged := [row["arm"] for row in rows if row["diverged"]]:
    notes.append(f"NOT FINITE, some networks of: {', '.join(diverged)}.")
  return aligned(heads, lines, notes)


def _budgets(rows, settings) -> str:
  heads = [
      "set", "distil s", "train s", "seen", "accuracy", "all, same seen",
      "all, same s", "seen", "its PGD"
  ]
  lines = []
  for row in of_kind(rows, "clean"):
    if row["budget"] is None:
      continue
    samples = of_kind(rows, "same_samples", of=row["arm"])[0]
    seconds = of_kind(rows, "same_seconds", of=row["arm"])[0]
    lines.append([
        row["arm"], f"{np.mean(row['seconds']):,.1f}",
        f"{row['budget']['seconds']:.3g}", f"{row['budget']['samples']:,}",
        _percent(row["accuracy"]),
        _percent(samples["accuracy"]),
        _percent(seconds["accuracy"]),
        f"{np.mean(seconds['samples_taken']):,.0f}",
        _percent(seconds["pgd"], False)
    ])
  return aligned(
      heads, lines, [
          "Training one network on a set takes train s seconds and shows it "
          "seen samples, each as often as it is shown. All real data, by Adam "
          f"with a cosine schedule and batches of {settings['batch_size']}, "
          "get as many samples, or as many seconds. Seconds are wall clock on "
          "this machine as busy as it was, compilation left out; they cannot "
          "be repeated exactly. distil s is what making the set took, "
          "compilation included; no arm but the set pays for it."
      ])


def _poison(rows, document) -> str:
  heads = ["set", "poison", "in data", "in set", "CTA", "ASR", "ASR, clean set"]
  lines = []
  clean = {row["arm"]: row for row in of_kind(rows, "clean")}
  for row in (*of_kind(rows, "poisoned"), *of_kind(rows, "matched")):
    inside, data = row["in_sets"], row["in_data"]
    lines.append([
        row["arm"], f"{100 * row['fraction']:g} %",
        "-" if data is None else f"{data:,}",
        "-" if inside is None else f"{np.mean(inside):g}",
        _percent(row["accuracy"]),
        _percent(row["success"]),
        _percent(clean[row["arm"]]["success"]) if row["arm"] in clean else "-"
    ])
  lines.sort(key=lambda line: float(line[1].split()[0]))
  return aligned(
      heads, lines, [
          "A white square of 2x2 pixels, on training images of other classes "
          f"that are then called {document['target']!r}. in data: poisoned "
          "images before sets are made; in set: stamped samples in it, where "
          "samples are real ones. CTA: accuracy on clean test images. ASR: "
          "stamped test images of other classes that are called the target; "
          "of a clean set, how many are without any poison."
      ])


def _percent(entry, error: bool = True) -> str:
  if entry is None or entry["mean"] is None:
    return "-"
  return with_error(entry["mean"], entry["stderr"] if error else None)


def _number(entry) -> str:
  return "-" if entry is None or entry["mean"] is None else (
      f"{entry['mean']:.2f}")
