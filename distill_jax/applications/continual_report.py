"""The table and the figure of memories compared on tasks in turn."""

from collections.abc import Mapping
from typing import Any

from distill_jax.applications.findings import aligned, with_error
from distill_jax.figures import theme

_HEADS = (
    "memory", "a class", "final %", "average %", "forgetting", "kB", "make s",
    "learn s")
_SCORES = ("final", "average", "forgetting")


def table(found: Mapping[str, Any]) -> str:
  """Rows of memories, a block for every network."""
  settings, rows = found["settings"], found["rows"]
  judges = list(dict.fromkeys(row["network"] for row in rows))
  kind = "classes" if settings["kind"] == "class" else "domains"
  title = (
      f"{settings['num_tasks']} tasks of new {kind}, learner "
      f"{settings['learner']['name']}, network {', '.join(judges)}")
  lines = []
  for judge in judges:
    for row in rows:
      if row["network"] == judge:
        lines.append(_line(row, judge if len(judges) > 1 else ""))
  return f"{title}\n{aligned(_HEADS, lines, _notes(found))}"


def draw(found: Mapping[str, Any]):
  """Accuracy on all tasks seen, after each of them; a panel for each size.

  Returns:
    A `Figure` of the first network.
  """
  rows, settings = found["rows"], found["settings"]
  judge = rows[0]["network"]
  rows = [row for row in rows if row["network"] == judge]
  sizes = settings["per_class"]
  figure = theme.figure(max(5.2, 3.6 * len(sizes)), 4.6)
  theme.entitle(
      figure, f"Accuracy on all tasks seen: {settings['learner']['name']}, "
      f"network {judge.replace('_', ' ')}")
  panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
  names = list(dict.fromkeys(row["memory"] for row in rows if row["per_class"]))
  shown = {}
  for axes, size in zip(panels, sizes, strict=True):
    for row in rows:
      if row["per_class"] in (size, 0):
        _curve(axes, row, names, settings["num_tasks"], shown)
    theme.dress(axes, "both")
    axes.set_xlabel("tasks seen", fontsize=10)
    axes.set_xticks(range(1, settings["num_tasks"] + 1))
    axes.set_ylim(bottom=0)
    theme.note(axes, figure, f"{size} a class and task")
  panels[0].set_ylabel("test accuracy (%)", fontsize=10)
  theme.legend(
      figure,
      handles=list(shown.values()),
      fontsize=9,
      ncols=3 if len(sizes) > 1 else 2)
  return figure


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
  what = "order of classes" if settings["kind"] == "class" else "repetition"
  if orders > 1:
    what = what.replace("order", "orders").replace("repetition", "repetitions")
  error = f"over {orders} {what}" if orders > 1 else "over networks"
  notes = [
      f"{networks} networks for each of {orders} {what}; ± standard error "
      f"{error}.",
      "final: accuracy on all tasks after the last; average: mean of it over "
      "tasks; forgetting: best accuracy on a task before the last less that "
      "after it, in points. Predictions are the largest of all outputs. "
      "report.json has backward transfer and every accuracy.",
      "a class: rows that are kept of each class of a task, frozen and never "
      "shrunk; kB: of all tasks in the end, real samples of 8 bits a value "
      "where the data have them; make s, learn s: seconds of one order, "
      "compilation included."
  ]
  if any(row.get("matches") for row in found["rows"]):
    notes.append(
        "random_real as X: as many random real samples as fit in the bytes of "
        "the set of X for the same task.")
  if any(row["memory"] == "all data jointly" for row in found["rows"]):
    notes.append(
        f"all data jointly: {settings['joint_steps']:,} updates on all tasks "
        "at once, ± over networks.")
  if any(row["memory"] == "no memory" for row in found["rows"]):
    notes.append(
        "no memory: a network carried over, "
        f"{settings['fine_tune_steps']:,} updates on each task's own data.")
  return notes


def _curve(axes, row, names, num_tasks, shown) -> None:
  """One line, with bars of one standard error; the upper bound is level."""
  name = row["memory"]
  if "after" not in row:
    line = axes.axhline(
        100 * row["final"]["mean"],
        color=theme.GREY,
        linestyle="--",
        linewidth=1.2,
        label=name)
  else:
    style = dict(color=theme.GREY, linestyle=":")
    if name in names:
      i = names.index(name)
      style = dict(color=theme.colour(i), marker=theme.marker(i), markersize=5)
    errors = [100 * (point["stderr"] or 0) for point in row["after"]]
    line = axes.errorbar(
        range(1, num_tasks + 1),
        [100 * point["mean"] for point in row["after"]],
        yerr=errors if any(errors) else None,
        capsize=2.5,
        linewidth=1.5,
        label=name,
        **style)
  shown.setdefault(name, line)
