"""Rows, table and figure of a comparison of memories in continual learning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill_jax.applications.arms import Arm
from distill_jax.applications.findings import (
    aligned,
    mean_and_error,
    with_error,
)
from distill_jax.applications.names import title
from distill_jax.applications.scenarios import Scenario
from distill_jax.applications.small_sets import seconds_of, stored_bytes
from distill_jax.errors import counted
from distill_jax.evaluation.forgetting import scores
from distill_jax.figures import theme
from distill_jax.figures.looks import looks
from distill_jax.figures.titles import data_name, network_name

_HEADS = (
    "memory", "a class", "final %", "average %", "forgetting", "kB", "make s",
    "learn s")
_SCORES = ("final", "average", "forgetting")


def row_of(
    arm: Arm, network: str, found: Sequence[tuple[np.ndarray, float]],
    scenarios: Sequence[Scenario]) -> dict[str, Any]:
  """The row of a memory.

  Args:
    arm: the memory.
    network: name of the network that learned from it; not used if the memory
      brings a learner of its own.
    found: accuracies [R, T, T] and seconds, for each order.
    scenarios: these orders.
  """
  own = dict(own=dict(arm.own)) if arm.own else {}
  return _row(
      _facts(arm),
      dict(
          network=arm.own.get("name", network),
          num_networks=len(found[0][0]),
          **own), _summary(found, scenarios))


def row_of_bound(
    network: str, accuracies: np.ndarray, seconds: float,
    scenario: Scenario) -> dict[str, Any]:
  """The row of networks that were trained on all tasks at once.

  Args:
    network: name of the network.
    accuracies: [R, T], accuracy on each task.
    seconds: duration of learning.
    scenario: the tasks.
  """
  final = accuracies @ (scenario.weights / scenario.weights.sum())
  return _row(
      dict(memory="all data jointly", per_class=0),
      dict(network=network, num_networks=len(accuracies)),
      dict(
          final=_statistics(final),
          num_orders=1,
          bytes=0,
          seconds_making=0.0,
          seconds_learning=seconds))


def _row(*parts) -> dict[str, Any]:
  """Joins the parts of a row, and adds the fields that every row has."""
  row = dict(item for part in parts for item in part.items())
  seconds = row["seconds_making"] + row["seconds_learning"]
  return dict(
      row,
      mean=row["final"]["mean"],
      stderr=row["final"]["stderr"],
      seconds=round(seconds, 2))


def _facts(arm: Arm) -> dict[str, Any]:
  """The size and cost of a memory: sums over its tasks, means over orders."""
  facts = dict(memory=arm.memory, per_class=arm.per_class)
  if arm.parts is None:
    return dict(facts, bytes=0, num_rows=0, seconds_making=0.0)
  exact = arm.made_by.exact
  each = [(
      sum(stored_bytes(part, exact)
          for part in own), sum(part.num_rows
                                for part in own), sum(map(seconds_of, own)))
          for own in arm.parts]
  size, num_rows, seconds = np.mean(each, 0).tolist()
  return dict(
      facts,
      matches=arm.matches,
      bytes=round(size),
      num_rows=round(num_rows),
      seconds_making=round(seconds, 2))


def _summary(found, scenarios) -> dict[str, Any]:
  """Statistics over orders of means over networks; see `forgetting`."""
  accuracies = np.stack([a for a, _ in found])  # [orders, R, T, T]
  each = [
      scores(a, s.weights) for a, s in zip(accuracies, scenarios, strict=True)
  ]
  names = ("final", "average", "forgetting", "backward")
  over = {
      name: _statistics(np.stack([getattr(one, name) for one in each]))
      for name in names
  }
  after = np.stack([one.after for one in each]).mean(1)  # [orders, T]
  mean = accuracies.mean((0, 1))
  return dict(
      over,
      num_orders=len(found),
      after=[_statistics(column) for column in after.T],
      accuracies=[mean[i, :i + 1].tolist() for i in range(len(mean))],
      seconds_learning=round(float(np.mean([s for _, s in found])), 2))


def _statistics(values) -> dict[str, Any]:
  """Mean and standard error: over orders, or over networks of one order."""
  values = np.asarray(values, float)
  units = values.mean(1) if values.ndim == 2 and len(values) > 1 else values
  return mean_and_error(units) | dict(values=values.tolist())


def table(found: Mapping[str, Any]) -> str:
  """The table: rows of memories, in a block for every network."""
  settings, rows = found["settings"], found["rows"]
  judges = list(dict.fromkeys(row["network"] for row in rows))
  kind = "classes" if settings["kind"] == "class" else "domains"
  heading = (
      f"{settings['num_tasks']} tasks of new {kind}, learner "
      f"{settings['learner']['name']}, network {', '.join(judges)}")
  lines = []
  for judge in judges:
    for row in rows:
      if row["network"] == judge:
        lines.append(_line(row, judge if len(judges) > 1 else ""))
  return f"{heading}\n{aligned(_HEADS, lines, _notes(found))}"


def draw(found: Mapping[str, Any]):
  """Accuracy on all tasks seen so far, after each task; one panel per size.

  Returns:
    A `Figure` of the first network, and of memories that need no network.
  """
  rows, settings = found["rows"], found["settings"]
  judge = next((row["network"] for row in rows if "own" not in row), None)
  rows = [row for row in rows if row["network"] == judge or "own" in row]
  judge = judge or rows[0]["network"]
  sizes = settings["per_class"]
  figure = theme.figure(max(6.5, 3.6 * len(sizes)), 5.2)
  kind = "classes" if settings["kind"] == "class" else "domains"
  data = f"{data_name(found['data'])}, " if "data" in found else ""
  theme.entitle(
      figure, f"{data}{settings['num_tasks']} tasks of new {kind}: "
      "accuracy on all tasks seen")
  panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
  known = looks(
      title(name) for name in dict.fromkeys(
          r["memory"] for r in rows if r["per_class"]))
  shown = {}
  for axes, size in zip(panels, sizes, strict=True):
    for row in rows:
      if row["per_class"] in (size, 0):
        _curve(axes, row, known, settings["num_tasks"], shown)
    theme.dress(axes, "both")
    axes.set_xlabel("tasks seen", fontsize=10)
    axes.set_xticks(range(1, settings["num_tasks"] + 1))
    axes.set_ylim(bottom=0)
    theme.note(axes, figure, _size_note(size, rows, settings, judge))
  panels[0].set_ylabel("test accuracy (%)", fontsize=10)
  longest = max(map(len, shown))
  theme.legend(
      figure,
      handles=list(shown.values()),
      fontsize=9,
      ncols=2 if len(sizes) == 1 or longest > 20 else 3)
  return figure


def _size_note(size: int, rows, settings, judge: str) -> str:
  """What a panel shows, and what its bars are."""
  note = (
      f"{title(settings['learner']['name'])}, {network_name(judge)}; "
      f"{counted(size, 'sample')} kept of each class")
  orders = settings["num_orders"]
  if any(point["stderr"] for row in rows for point in row.get("after", ())):
    over = f"{orders} orders" if orders > 1 else "networks"
    note += f"; bars: ± one standard error, {over}"
  return note


def _line(row, judge) -> tuple[str, ...]:
  per_class = str(row["per_class"] or "")
  kilobytes = f"{row['bytes'] / 1e3:.1f}" if row.get("bytes") else ""
  making = f"{row['seconds_making']:.1f}" if row.get("num_rows") else ""
  name = f"{row['memory']}, {judge}" if judge else row["memory"]
  return (
      name, per_class, *(
          with_error(row[score]["mean"], row[score]["stderr"])
          if score in row else "" for score in _SCORES), kilobytes, making,
      f"{row['seconds_learning']:.1f}")


def _notes(found) -> list[str]:
  settings = found["settings"]
  orders, networks = settings["num_orders"], settings["num_networks"]
  repeats = counted(orders, "repetition")
  if settings["kind"] == "class":
    repeats = counted(orders, "order of classes", "orders of classes")
  error = f"over {repeats if orders > 1 else 'networks'}"
  several = max(orders, networks) > 1
  notes = [
      f"{counted(networks, 'network')} for each of {repeats}"
      f"{f'; ± standard error {error}' * several}.",
      "final: accuracy on all tasks after the last; average: mean of it over "
      "tasks; forgetting: best accuracy on a task before the last less that "
      "after it, in points. Predictions are the largest of all outputs. "
      "report.json has backward transfer and every accuracy.",
      "a class: rows that are kept of each class of a task, frozen and never "
      "shrunk; kB: of all tasks in the end, real samples of 8 bits a value "
      "where the data have them; make s, learn s: seconds of one order, "
      "compilation included."
  ]
  matched = [row["matches"] for row in found["rows"] if row.get("matches")]
  if matched:
    several = [f"for {names}" for names in matched if " and " in names]
    notes.append(
        "random_real as X: as many random real samples as fit in the bytes of "
        "the set of X for the same task, equally many of each class"
        f"{'; one row ' * bool(several)}{', '.join(several)}.")
  if any(row["memory"] == "all data jointly" for row in found["rows"]):
    notes.append(
        "all data jointly: trained on all tasks at once, updates: "
        f"{settings['joint_steps']:,}"
        f"{'; ± standard error over networks' * (networks > 1)}.")
  bounds = {
      row["network"]: row["final"]["mean"]
      for row in found["rows"]
      if row["memory"] == "all data jointly"
  }
  if any(row["per_class"] and
         row["final"]["mean"] > bounds.get(row["network"], 1.0)
         for row in found["rows"]):
    notes.append(
        "all data jointly is below a memory of the same network, and so no "
        "upper bound here: raise joint_steps.")
  if any(row["memory"] == "no memory" for row in found["rows"]):
    notes.append(
        "no memory: a network carried over and trained on each task's own "
        f"data, updates: {settings['fine_tune_steps']:,}.")
  return notes


def _curve(axes, row, known, num_tasks, shown) -> None:
  """One line with bars of one standard error; the upper bound is horizontal."""
  name = title(row["memory"])
  if "after" not in row:
    line = axes.axhline(
        100 * row["final"]["mean"],
        color=theme.DARK,
        linestyle="--",
        linewidth=1.0,
        label=name)
  else:
    style = known.get(name, dict(color=theme.DARK))
    middle = (len(known) - 1) / 2
    place = list(known).index(name) if name in known else middle
    shift = 0.05 * (place - middle)  # equal ones show all
    errors = [100 * (point["stderr"] or 0) for point in row["after"]]
    line = axes.errorbar(
        np.arange(1, num_tasks + 1) + shift,
        [100 * point["mean"] for point in row["after"]],
        yerr=errors if any(errors) else None,
        markersize=5.5,
        capsize=2.5,
        linewidth=1.3,
        label=name,
        **style)
  shown.setdefault(name, line)
