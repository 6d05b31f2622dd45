"""The rows, the table and the figure of a search."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from distill_jax.applications.cells import key_of
from distill_jax.applications.findings import (
    Findings,
    aligned,
    mean_and_error,
    with_error,
)
from distill_jax.applications.names import title
from distill_jax.applications.search_arms import TRUTH, Arm
from distill_jax.applications.search_space import labels
from distill_jax.errors import counted
from distill_jax.evaluation import ranking
from distill_jax.figures import theme
from distill_jax.figures.titles import data_name

_BOOTSTRAP = 3  # for `key_of`
_COLUMNS = 3  # panels in a row
_HEADS = (
    "chosen on", "test %", "rho [95 %]", "tau-b", "regret", "of 5", "images",
    "kB", "minutes")


def findings(chosen, arms, found, test, agree, seed, settings) -> Findings:
  """A row for each arm, and the accuracies of all candidates.

  Args:
    chosen: n candidates.
    arms: the arms; the last one is all data.
    found: [n][arms][R] results on validation data.
    test: `(candidates, their names) -> [candidates][1][R]`, results of training
      on all data and testing on the test split.
    agree: `(key, proxy, full) -> JSON`, compares two rankings.
    seed: seed of the bootstrap.
    settings: settings for the document.
  """
  names = labels(chosen)
  means = np.array(
      [[np.mean([net["accuracy"]
                 for net in cell])
        for cell in one]
       for one in found])
  full = means[:, -1]
  best = [int(ranking.top(means[:, i], 1)[0]) for i in range(len(arms))]
  distinct = list(dict.fromkeys(best))
  tested = dict(
      zip(
          distinct,
          test([chosen[i] for i in distinct], [names[i] for i in distinct]),
          strict=True))
  apart = np.array([one.fields.get("norm") == "batch" for one in chosen])
  rows = []
  for i, arm in enumerate(arms):
    key = key_of(seed, _BOOTSTRAP, i)
    row = _row(arm, [one[i] for one in found], tested[best[i]][0])
    row |= dict(
        chosen=names[best[i]],
        num_best=int((means[:, i] >= means[best[i], i] - 1e-9).sum()),
        full_accuracy=float(full[best[i]]),
        proxy_accuracy=float(means[best[i], i]),
        **agree(key, means[:, i], full))
    if apart.any() and not apart.all():
      rest = agree(key, means[~apart, i], full[~apart])
      row["spearman_without_batch_norm"] = rest["spearman"]
    rows.append(row)
  accuracies = [
      dict(
          candidate=name,
          fields=one.fields,
          accuracy={
              arm.name: [net["accuracy"]
                         for net in cell]
              for arm, cell in zip(arms, cells, strict=True)
          })
      for name, one, cells in zip(names, chosen, found, strict=True)
  ]
  return Findings(
      dict(
          application="search", settings=settings, rows=rows, table=accuracies),
      table, draw)


def _row(arm: Arm, cells, tested) -> dict[str, Any]:
  """Test accuracy of the chosen candidate, and the cost of choosing it."""
  accuracy = np.array([net["accuracy"] for net in tested])
  networks = [net for cell in cells for net in cell]
  training = sum(net["seconds"] for net in networks)
  return dict(
      arm=arm.name,
      **mean_and_error(accuracy),
      num_networks=len(accuracy),
      images=arm.num_images,
      bytes=arm.num_bytes,
      seconds=round(arm.seconds + training, 2),
      seconds_making=arm.seconds,
      seconds_compiling=round(
          sum(cell[0]["compile_seconds"] for cell in cells), 2),
      diverged=sum(net["diverged"] for net in networks))


def table(found: Mapping[str, Any]) -> str:
  """The rows as a table, with notes on how they were measured."""
  lines = [[
      _title(row["arm"]),
      with_error(row["mean"], row["stderr"]),
      _with_interval(row["spearman"]),
      _number(row["kendall"]["value"]), f"{100 * row['regret']:.1f}",
      f"{100 * row['regret_at_5']:.1f}", f"{row['images']:,}",
      f"{row['bytes'] / 1000:,.0f}", f"{row['seconds'] / 60:.1f}"
  ] for row in found["rows"]]
  return aligned(_HEADS, lines, _notes(found))


def _notes(found) -> list[str]:
  rows, s = found["rows"], found["settings"]
  truth = rows[-1]
  part = "" if s["num_truth_samples"] == s["num_train"] else "reduced "
  notes = [
      f"{s['num_candidates']} candidates, "
      f"{counted(s['num_networks'], 'network')} each, "
      f"ranked on {s['num_validation']:,} validation samples. Truth: {part}"
      f"all data, {s['num_truth_samples']:,} of {s['num_train']:,} samples for "
      f"{counted(s['truth_epochs'], 'epoch')}.",
      "test %: of the chosen candidate, trained as the truth"
      f"{' (± standard error over networks)' if truth['stderr'] else ''}. "
      "regret: points of validation accuracy below the best candidate; of 5: "
      "of the best of the five that rank highest; "
      f"{100 * truth['regret_by_chance']:.1f} by chance.",
      "rho, tau-b: over all candidates, against the truth; bootstrap interval. "
      "minutes: making the set and training; compiling takes up to "
      f"{max(row['seconds_compiling'] for row in rows) / 60:.1f} more."
  ]
  for k in truth["top"]:
    values = ", ".join(
        f"{_title(row['arm'])} {_with_interval(row['top'][k])}"
        for row in rows[:-1])
    notes.append(f"rho of the top {k} by {truth['topk_by']}: {values}.")
  if "spearman_without_batch_norm" in truth:
    values = ", ".join(
        f"{_title(row['arm'])} "
        f"{_with_interval(row['spearman_without_batch_norm'])}"
        for row in rows[:-1])
    notes.append(f"rho without batch norm: {values}.")
  if any(row["diverged"] for row in rows):
    values = ", ".join(
        f"{_title(row['arm'])} {row['diverged']}" for row in rows
        if row["diverged"])
    notes.append(f"diverged networks, ranked as they are: {values}.")
  for row in rows:
    num = row.get("num_best", 1)
    even = f", the first of {num} that are equally good there"
    notes.append(
        f"{_title(row['arm'])} chose {row['chosen']}{even * (num > 1)}")
  return notes


def draw(found: Mapping[str, Any]):
  """One panel per arm: accuracy on the arm against accuracy on all data.

  Each point is a candidate. The ring marks the candidate that the arm chooses,
  the dashed line the best accuracy of all.
  """
  rows, candidates = found["rows"][:-1], found["table"]
  full = _accuracies(candidates, TRUTH)
  apart = np.array([c["fields"].get("norm") == "batch" for c in candidates])
  kinds = {"candidate": ~apart, "with batch norm": apart}
  columns = min(_COLUMNS, len(rows))
  lines = math.ceil(len(rows) / columns)
  figure = theme.figure(0.7 + 2.4 * columns, 1.4 + 2.6 * lines)
  data = f"{data_name(found['data'])}: v" if "data" in found else "V"
  theme.entitle(
      figure,
      f"{data}alidation accuracy of {len(candidates)} candidates, trained on "
      "small sets and on all data; rank correlations with 95 % intervals")
  panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
  handles = {}
  for axes, row in zip(panels, rows, strict=False):
    proxy = _accuracies(candidates, row["arm"])
    for i, (name, own) in enumerate(kinds.items()):
      if own.any():
        handles[name] = axes.scatter(
            proxy[own],
            full[own],
            s=26,
            color=theme.colour(i),
            marker=theme.marker(i),
            alpha=0.75,
            linewidths=0)
    best = int(np.argmax(proxy))
    handles["chosen"] = axes.scatter(
        proxy[best],
        full[best],
        s=120,
        facecolors="none",
        edgecolors=theme.DARK,
        linewidths=1.3)
    handles["best on all data"] = axes.axhline(
        full.max(), color=theme.GREY, linestyle="--", linewidth=1.0, zorder=0)
    axes.set_title(
        f"{title(row['arm'])}\nrank correlation "
        f"{_with_interval(row['spearman'])}",
        fontsize=9,
        parse_math=False)
    theme.dress(axes, "both")
  for axes in panels[len(rows):]:
    axes.set_visible(False)
  for axes in panels[:len(rows)][::columns]:
    axes.set_ylabel("validation accuracy (%),\ntrained on all data", fontsize=9)
  for axes in panels[max(0, len(rows) - columns):len(rows)]:
    axes.set_xlabel("validation accuracy (%),\ntrained on the set", fontsize=9)
  theme.legend(
      figure,
      handles=list(handles.values()),
      labels=list(handles),
      ncols=len(handles),
      fontsize=8.5)
  return figure


def _accuracies(candidates, arm: str) -> np.ndarray:
  """Accuracies [n] in percent, means over networks."""
  return np.array([100 * np.mean(c["accuracy"][arm]) for c in candidates])


def _title(arm: str) -> str:
  return arm.replace("_", " ")


def _number(value: float | None) -> str:
  return "-" if value is None else f"{value:.2f}"


def _with_interval(found: Mapping[str, Any]) -> str:
  """A correlation with its interval, such as 0.71 [0.52, 0.83]."""
  if found["value"] is None:
    return "-"
  low, high = map(_number, (found["low"], found["high"]))
  return f"{found['value']:.2f} [{low}, {high}]"
