"""Writes docs/results.md and its figures from docs/results/*.json."""

import json
from pathlib import Path

import cells
import results_figures
import results_short
import text_results
from rows import Row

from distill_jax import figures
from distill_jax.evaluation import baselines, metrics, points

# Groups of records: sizes of one set, rows with experts, CIFAR-10, and rows of
# the published width.
SIZES, TRAJECTORIES = "sldd_mnist_sweep", "width32_trajectories"
CIFAR, WIDE = "width32_cifar10", "width128"
_MATCHING = (
    "row", "samples", "accuracy", "random real", "gain", "real, same bytes",
    "published", "cosine", "norm", "epochs", "networks", "seed", "device",
    "distilling", "date")
_WIDE = (
    *_MATCHING[:2], "judged by", *_MATCHING[2:-2], "one network",
    *_MATCHING[-2:])
_REPEATED = (
    "row", "seed 0", "other seeds", "mean of runs", "std of runs",
    "standard error of a run", "farthest from seed 0")
_COLUMNS = dict(
    measured=(
        "row", "samples", "student", "labels", "accuracy", "published", "r_M",
        "networks", "seed", "device", "distilling", "date"),
    baselines=(
        "row", "accuracy",
        *(baselines.TITLES[name] for name in baselines.possible())),
    matching=_MATCHING,
    wide=_WIDE,
    tissue=(
        "row", "accuracy", "macro F1", "lowest class", "random real", "gain",
        "real, same bytes", "all data", "epochs", "networks", "seed", "device",
        "one network", "distilling", "date"),
    thirty=(
        "row", "samples", "accuracy", "random real", "gain", "cosine", "norm",
        "epochs", "networks", "seed", "device", "one network", "distilling",
        "date"),
    cifar=(
        "row", "samples", "bytes", "labels", "accuracy", "hard labels",
        "random real", "gain", "real, same bytes", "published", "recipe",
        "epochs", "networks", "experts", "training them", "distilling", "seed",
        "device", "date"),
    decoupled=(
        "row", "samples", "bytes", "labels of views", "accuracy", "hard labels",
        "random real", "real, same labels", "published", "teacher",
        "training it", "distilling", "epochs", "networks", "seed", "device",
        "date"),
    storage=(
        "row", "bits", "samples", "bytes", "bits a class", "accuracy",
        "random real", "real, same bytes", "real, quantised alike",
        "real, stored alike", "networks", "epochs", "seed", "device",
        "distilling", "date"),
    trajectories=(
        "row", "samples", "judged by", "labels", "accuracy", "hard labels",
        "random real", "gain", "experts", "training them", "distilling",
        "epochs", "networks", "seed", "device", "date"),
    performance=(
        "row", "samples", "judged by", "labels", "accuracy", "hard labels",
        "random real", "gain", "published", "recipe", "steps", "networks",
        "seed", "device", "distilling", "date"))


def write(docs: Path, table: dict[str, Row]) -> None:
  """Writes the page and its figures from the records.

  Args:
    docs: folder with `results/*.json`. It gets `results.md`, and in `figures/`
      the figures whose records have at least two points.
    table: the rows, in their order.
  """
  records = read(docs / "results", table)
  (docs / "results.md").write_text(render(table, records))
  results_figures.write(docs / "figures", table, records)
  results_figures.write_applications(
      docs / "figures", docs / "results" / "applications")
  sizes = [r["report"] for n, r in records.items() if table[n].group == SIZES]
  if len(sizes) > 1:
    (docs / "figures").mkdir(exist_ok=True)
    figures.save(
        figures.accuracy_against([
            dict(
                label="SLDD, fixed initialisation",
                num_samples=r["num_samples"],
                mean=r["accuracy"]["mean"],
                std=r["accuracy"]["std"]) for r in sizes
        ],
                                 full_data=sizes[0]["full_data_accuracy"],
                                 title="MNIST, SLDD, LeNet: accuracy "
                                 "against samples"),
        docs / "figures" / f"{SIZES}.png")


def read(folder: Path, table: dict[str, Row]) -> dict[str, dict]:
  """Records by row, in the table's order."""
  found = {
      record["row"]: record for file in sorted(folder.glob("*.json"))
      for record in json.loads(file.read_text())
  }
  return {name: found[name] for name in table if name in found}


def today(record: dict) -> str:
  """The command of a record, in its present form if it was older."""
  return record.get("command_today", record["command"])


def render(table: dict[str, Row], records: dict[str, dict]) -> str:
  """The text of docs/results.md: measured rows, and commands of the others."""
  of = {section: [] for section in (*_COLUMNS, "text", "embed", "sweep")}
  for name, record in records.items():
    of[_section(table[name])].append(record)
  of["baselines"] = [r for r in of["measured"] if r["report"].get("baselines")]
  matching = of["matching"]
  parts = {
      section:
          cells.table(
              columns, [cells.of(r, table[r["row"]]) for r in of[section]])
      for section, columns in _COLUMNS.items()
  } | dict(
      short=results_short.tables(table, records),
      differences=results_short.differences(table, records),
      repeats=_repeats(table, records),
      texts=text_results.section(of["text"], table),
      embeddings="\n\n".join(map(_embedding, of["embed"])),
      sweeps="\n\n".join(map(_swept, of["sweep"])),
      pairs=_pairs(table, records),
      transfer="\n\n".join(
          _transfer(r)
          for r in (*matching, *of["wide"], *of["trajectories"])
          if "networks" in r["report"]),
      segments="\n".join(
          _segments(r)
          for r in (*matching, *of["thirty"])
          if "segments" in r["report"]),
      sizes=_distillation_size([
          r["report"] for r in of["measured"] if table[r["row"]].group == SIZES
      ]),
      commands="\n".join(
          f"- `{name}`: `{today(r)}`" for name, r in records.items()),
      absent="\n".join(
          _absent(name, row)
          for name, row in table.items()
          if name not in records) or "- none")
  parts["tissue"] = "\n\n".join((
      parts["tissue"], *(
          f"`{r['row']}`:\n\n![Samples](figures/{r['row']}.png)"
          for r in of["tissue"])))
  template = Path(__file__).parents[1] / "docs" / "results" / "template.md"
  return template.read_text().format(
      **{
          name: part or cells.NONE for name, part in parts.items()
      })


def _absent(name: str, row: Row) -> str:
  """A row that is not measured: what is known of it, and its command."""
  known = [
      *([f"published {row.published:g} %"] if row.published else []),
      *([f"takes about {row.needs}"] if row.needs else []),
      *(["meant for an accelerator"] if row.accelerator else [])
  ]
  return (
      f"- `{name}`" + "".join(f", {fact}" for fact in known) +
      f": `python experiments/reproduce.py --rows={name}`")


def _section(row: Row) -> str:
  """The section of the page that a row is in."""
  if row.program in ("embed", "sweep"):
    return row.program
  if row.group == TRAJECTORIES:
    return "trajectories"
  if row.group == CIFAR:
    return "cifar"
  if row.group.startswith("width32"):
    return "matching"
  if row.group == WIDE:
    return "wide"
  own = ("decoupled", "performance", "storage", "text", "thirty", "tissue")
  return row.group if row.group in own else "measured"


def _distillation_size(reports: list[dict]) -> str:
  if not reports:
    return ""
  sizes = [r["num_samples"] for r in reports]
  ratios = [r["ratio"] for r in reports]
  reached = {
      target: metrics.distillation_size(sizes, ratios, target)
      for target in (80, 90, 95)
  }
  return (
      "MNIST, LeNet, fixed initialisation, three epochs, 2,000 outer steps: a "
      "thirtieth of the steps of the rows above, hence lower.\n\n"
      "![Accuracy against number of samples](figures/sldd_mnist_sweep.png)"
      f"\n\nSizes {', '.join(map(str, sizes))}; accuracy on all data "
      f"{100 * reports[0]['full_data_accuracy']:.2f} %. Smallest size whose "
      "ratio reaches A %: " +
      ", ".join(f"d_{t} = {size:g}" for t, size in reached.items()) + ".")


def _repeats(table: dict[str, Row], records: dict[str, dict]) -> str:
  """A table of rows beside the same rows with other seeds."""
  runs: dict[str, list[dict]] = {}
  for name, record in records.items():
    of = table[name].repeats
    if of in records:
      runs.setdefault(of, [records[of]]).append(record)
  lines = []
  for name, found in runs.items():
    accuracies = [record["report"]["accuracy"] for record in found]
    first, *others = map(points.percent, accuracies)
    apart = metrics.spread(accuracies)
    first_mean, error = accuracies[0]["mean"], apart.stderr
    farthest = max(apart.highest - first_mean, first_mean - apart.lowest)
    lines.append({
        "row": f"`{name}`",
        "seed 0": first,
        "other seeds": ", ".join(others),
        "mean of runs": f"{100 * apart.mean:.2f}",
        "std of runs": f"{100 * apart.std:.2f}",
        "standard error of a run":
            "-" if error is None else f"{100 * error:.2f}",
        "farthest from seed 0": f"{100 * farthest:.2f}"
    })
  return cells.table(_REPEATED, lines)


def _transfer(record: dict) -> str:
  """A table of the accuracies of other networks trained on a set."""
  head = cells.head(("network", "distilled", "random real", "gain", "networks"))
  lines = "\n".join(
      f"| {name} | **{points.percent(block['accuracy'])}** | "
      f"{_over_real(block)} | "
      f"{record['report']['num_networks']} |"
      for name, block in record["report"]["networks"].items())
  return (
      f"`{record['row']}`:\n\n{head}\n{lines}\n\n"
      f"![Accuracy on other networks](figures/{record['row']}.png)")


def _over_real(block: dict) -> str:
  """Two cells: random real data on a network, and the gain of the set."""
  real = block.get("random_real")
  gain = points.gain(real["gain"]) if real else "-"
  return f"{points.percent(real)} | {gain}"


def _pairs(table: dict[str, Row], records: dict[str, dict]) -> str:

  def networks(name):
    return records[name]["report"]["accuracy"]["per_network"]

  return "\n".join(
      f"- `{one}` over `{other}`: " + points.gain(
          metrics.gain_over(networks(one), [networks(other)])._asdict())
      for one in records
      for other in table[one].over
      if other in records)


def _segments(record: dict) -> str:
  segments = record["report"]["segments"]
  seen = (sum(counts) for counts in segments["real_samples"])
  return (
      f"- `{record['row']}`: real samples seen "
      f"{', '.join(f'{n:,}' for n in seen)}; classified correctly after each "
      "segment "
      f"{', '.join(f'{n:,}' for n in segments['correct'])}; forgotten with "
      f"each further one {', '.join(f'{n:,}' for n in segments['forgotten'])}.")


def _embedding(record: dict) -> str:
  """A picture of sets and real data, and the distances between them."""
  report = record["report"]
  distances = ", ".join(
      f"{name} {distance:.2f}"
      for name, distance in report["distance_to_nearest"].items())
  return (
      f"![Real data and sets in one plane](figures/{record['row']}.png)\n\n"
      f"`{record['row']}`: features of a {report['network']['name']} after "
      f"{report['num_epochs']} epochs on real data, by t-SNE; markers are "
      "segments. From a real test sample to the nearest one of its class, mean "
      f"over {report['num_real']:,}: {distances}. Seed {report['seed']}, "
      f"{report['device']}, {record['date']}.")


def _swept(record: dict) -> str:
  """The figure and the table of a sweep, and which line is ahead."""
  swept = record["report"]["points"]
  against = record["report"]["against"]
  title = points.title(against)
  head = cells.head((
      "line", "per class", "bytes", "accuracy", title, "networks", "labels",
      "seed", "device", "distilling"))
  lines = "\n".join(
      "| " + " | ".join((
          p["label"], str(p["samples_per_class"]), f"{p['bytes']:,}",
          f"**{points.percent(p)}**", points.percent(p["real"]),
          str(p["num_networks"]), p["label_regime"], str(p["seed"]),
          p["device"], points.minutes(p["seconds"]["distill"]))) + " |"
      for p in swept)
  ahead = "\n".join(
      f"- {pair}: {gains}"
      for pair, gains in points.comparisons(swept, against).items())
  return (
      f"`{record['row']}`, {record['date']}:\n\n"
      f"![Accuracy](figures/{record['row']}.png)\n\n"
      "<details>\n<summary>All points</summary>\n\n"
      f"{head}\n{lines}\n\n{ahead}\n\n</details>")
