"""docs/results.md and its figure, from the records of docs/results/*.json."""

import json
import statistics
from pathlib import Path

import cells
import launched
import points
import text_results
from rows import PAIRS, PERFORMANCE, POINTS, SMALL, TEXT, Row

from distill_jax import figures
from distill_jax.evaluation import baselines, metrics

TEMPLATE = """# Results

Every measured row, misses included; no row is typed by hand
(`python experiments/reproduce.py --render` writes this page from
`docs/results/*.json`). Accuracies are percent on the whole test split, taken
once, after the last step. What is tested is the last iterate; with more than
60,000 steps on a fixed initialisation, the iterate with the lowest training
loss after those. Unless it says otherwise, hyper-parameters were chosen by the
loss on training data.
`networks` counts freshly trained networks (one where the initialisation is
fixed); ± of an accuracy is the standard deviation over them. MNIST files are
found below `--data_dir` or `$DISTILL_JAX_DATA`.

{measured}

## Baselines of the same budget

Same initialisation regime and number of steps, step size chosen on
validation.

{baselines}

## Matching, on two CPU cores

ConvNet of depth 3 and width 32, hard labels, pixels, far fewer outer steps than
published: what each method gives in minutes without an accelerator, not what it
is capable of. `published` is of width 128, of up to 250 times the steps and of
the method's own recipe; IDC's is without multi-formation.

Settings were chosen on a validation split of MNIST with ten samples a class and
hold for all rows of a method, but for what follows; DC and DSA match on a
network as many times as a class has samples. DC and the hybrid take the
settings of DSA; CAFE's were set without a search. DC and DSA take 2,500 steps
on MNIST with ten samples a class, 600 elsewhere. There the rate of their
networks is 0.1, elsewhere 0.01: the change was tried on the validation split
(93.6 ± 0.5 against 93.4 ± 0.3 % after 300 steps) when the test accuracy of
`width32_dsa_mnist_10_rate01`, the row without it, was known.

EDD's rate is such that samples move as far as IDC's. The number of segments was
chosen on a validation split of Fashion-MNIST, 3 networks each, when the test
accuracy of five segments (`_five`, with a rate that was guessed) was known:

- two segments, rate 0.03: 81.7 ± 0.1 %
- two segments, rate 0.027, `drop_correct=0.2`: 81.2 ± 0.3 %
- five segments, rate 0.025: 79.0 ± 0.1 %
- IDC, rate 0.03: 82.3 ± 0.3 %

Further endings of names: `_free` leaves the frozen segments out of the loss,
`_noise` starts from noise, `_part` has the steps of the hybrid whose part it
is, `_long` and `_transfer` train networks on the set of another row.

All sets are trained on by recipe `dsa`, of as many epochs as the table says.
`gain` is over random real data of as many samples, ± its standard error over
networks and sets; `equal bytes` is random real data, 8 bits a pixel, of as many
bytes as the set has. `cosine` and `norm` are of the updates, from start to end:
how alike those of a class are, and how far a sample went. Times are on the
cores that `device` counts, shared with other jobs; of `_long` and `_transfer`
rows they are those of the set.

{matching}

### Two at a time

What the first gains over the second, network by network, ± its standard error.

{pairs}

### On other networks

{transfer}

### In segments

{segments}

### In one plane

{embeddings}

### By size and by storage

{num_steps} outer steps, {num_networks} networks, the same settings for all
points and without a search: the order of lines is that of short runs.

{sweeps}

## Trajectories, on two CPU cores

ConvNet of depth 3 and width 32, ten samples a class, five plain experts of
eight epochs that all rows of a data set share: far fewer and shorter than
published, and without FTD's flat minima. Settings were chosen on a validation
split of MNIST, which experts have not seen either, and hold for both data sets.
DATM learns its labels; `hard labels` is the same set with the largest of each.
MTT starts from random real samples, DATM from some that the experts classify
correctly, and from random ones in `_real`. Sets and random real data are
trained on by recipe `mtt`, the sets with the step size they have learned,
random real data with the one that validation prefers. `experts` has their
accuracy on validation, `training them` the time of all together; two of those
of Fashion-MNIST were paused for long while they trained, the other three took
four to six minutes each.

{trajectories}

## Kernels and long unrolls, on two CPU cores

KIP and label solve are judged by kernel ridge regression with their own kernel,
which is exact and trains nothing, so `networks` is one; the other rows by
freshly trained networks, `steps` updates each by the recipe. `fc1` has one
hidden layer, `conv3` three convolutions without pooling, of infinite width.
Rows that end in `seed0` to `seed2` differ in the real images that they start
from. Labels are learned in `_learned` rows, whose real images are augmented;
`hard labels` is the same set with the largest of each.
`rat_bptt_mnist_lenet_100` goes on from the set of `rfad_mnist_lenet_100`, whose
time comes before its own.

{performance}

{means}

## Texts, on one CPU core

TDD, and other objectives on sentences of four corpora; vectors are learned on
training texts, where the published rows have GloVe's; those of IMDB are of the
authors' logs. `all data` is the same network on all training texts, `r_M` the
share of it that the set keeps, `its words` the set with the nearest words in
place of its vectors, `hard labels` with the largest of each label. F1 is the
mean over classes. What all rows share was chosen on validation parts of TREC
and SST, in runs of 300 steps; TDD's rows have 2,000, or 1,000 so that all of a
row is about an hour of one core at most.

{texts}

## Accuracy against number of samples

{sizes}

## Commands

{commands}

## Not measured

{absent}
"""

_COLUMNS = (
    "row", "samples", "student", "labels", "accuracy", "published", "r_M",
    "networks", "seed", "device", "distilling", "date",
)
_MATCHING_COLUMNS = (
    "row", "samples", "accuracy", "random real", "gain", "real, same bytes",
    "published", "cosine", "norm", "epochs", "networks", "seed", "device",
    "distilling", "date",
)
_TRAJECTORY_COLUMNS = (
    "row", "samples", "labels", "accuracy", "hard labels", "random real",
    "gain", "experts", "training them", "distilling", "epochs", "networks",
    "seed", "device", "date",
)
_PERFORMANCE_COLUMNS = (
    "row", "samples", "judged by", "labels", "accuracy", "hard labels",
    "random real", "gain", "published", "recipe", "steps", "networks", "seed",
    "device", "distilling", "date",
)


def write(docs: Path, table: dict[str, Row]) -> None:
  """Writes the page below a folder, and its figure, from what is there.

  Args:
    docs: holds `results/*.json`; gets `results.md`, and in `figures/`, once
      two of its rows are measured, `sldd_mnist_sweep.png`.
    table: the rows, in their order.
  """
  records = read(docs / "results", table)
  (docs / "results.md").write_text(render(table, records))
  sizes = _by_size(records)
  if len(sizes) > 1:
    (docs / "figures").mkdir(exist_ok=True)
    _draw(sizes, docs / "figures" / "sldd_mnist_sweep.png")


def read(folder: Path, table: dict[str, Row]) -> dict[str, dict]:
  """Records by row, in the table's order."""
  found = {
      record["row"]: record
      for file in sorted(folder.glob("*.json"))
      for record in json.loads(file.read_text())
  }
  return {name: found[name] for name in table if name in found}


def render(table: dict[str, Row], records: dict[str, dict]) -> str:
  """docs/results.md: every measured row, and the commands of the others."""
  measured = list(records.values())
  of = {
      program: [r for r in measured if table[r["row"]].program == program]
      for program in launched.PROGRAMS
  }
  follows = [r for r in of["distill"] if "experts" in r["report"]]
  performs = [r for r in measured if table[r["row"]].group == PERFORMANCE]
  matching = [
      r for r in measured
      if r["row"].startswith(f"{SMALL}_") and r not in follows
  ]
  texts = [r for r in measured if table[r["row"]].group == TEXT]
  known = matching + follows + performs + texts
  others = [r for r in of["distill"] if r not in known]

  def tabled(columns, records):
    return cells.table(
        columns, [cells.of(r, table[r["row"]]) for r in records]
    )

  return TEMPLATE.format(
      measured=tabled(_COLUMNS, others),
      matching=tabled(_MATCHING_COLUMNS, matching),
      trajectories=tabled(_TRAJECTORY_COLUMNS, follows),
      performance=tabled(_PERFORMANCE_COLUMNS, performs),
      means=_means(performs) or cells.NONE,
      texts=text_results.section(texts, table),
      baselines=tabled(
          ("row", "accuracy", *baselines.TITLES.values()),
          [r for r in others if r["report"].get("baselines")],
      ),
      embeddings="\n\n".join(map(_embedding, of["embed"])) or cells.NONE,
      num_steps=POINTS["num_steps"],
      num_networks=POINTS["evaluation.num_networks"],
      sweeps="\n\n".join(map(_swept, of["sweep"])) or cells.NONE,
      pairs=_pairs(records) or cells.NONE,
      transfer="\n\n".join(
          _transfer(r) for r in of["evaluate"] if "networks" in r["report"]
      ) or cells.NONE,
      segments="\n".join(
          _segments(r) for r in of["distill"] if "segments" in r["report"]
      ) or cells.NONE,
      sizes=_distillation_size(_by_size(records)),
      commands="\n".join(
          f"- `{r['row']}`: `{r['command']}`" for r in measured
      ),
      absent="\n".join(
          f"- `{name}`: `python experiments/reproduce.py --rows={name}`"
          + (" (accelerator)" if row.accelerator else "")
          for name, row in table.items() if name not in records
      ) or "- none",
  )


def _draw(reports: list[dict], file: Path) -> None:
  line = [
      dict(label="SLDD, fixed initialisation", num_samples=r["num_samples"],
           mean=r["accuracy"]["mean"], std=r["accuracy"]["std"])
      for r in reports
  ]
  figures.save(figures.accuracy_against(
      line, full_data=reports[0]["full_data_accuracy"]
  ), file)


def _by_size(records: dict[str, dict]) -> list[dict]:
  return [
      record["report"] for name, record in records.items()
      if name.startswith("sldd_mnist_sweep_")
  ]


def _distillation_size(reports: list[dict]) -> str:
  if not reports:
    return cells.NONE
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
      "ratio reaches A %: "
      + ", ".join(f"d_{t} = {size:g}" for t, size in reached.items()) + "."
  )


def _means(records: list[dict]) -> str:
  """The mean accuracy of rows that differ in their seed alone."""
  lines, alike = [], {}
  for record in records:
    name, found, _ = record["row"].rpartition("_seed")
    if found:
      alike.setdefault(name, []).append(record["report"])
  for name, reports in alike.items():
    means = [report["accuracy"]["mean"] for report in reports]
    std = statistics.stdev(means) if len(means) > 1 else 0.0
    lines.append(
        f"- `{name}`: {100 * statistics.mean(means):.2f} ± {100 * std:.2f}, "
        f"draws: {len(means)}"
    )
  return "\n".join(lines)


def _transfer(record: dict) -> str:
  """A table of what a set does for other networks."""
  head = cells.head(("network", "distilled", "random real", "gain", "networks"))
  lines = "\n".join(
      f"| {name} | **{points.percent(block['accuracy'])}** | "
      f"{points.percent(block['random_real'])} | "
      f"{points.gain(**block['random_real']['gain'])} | "
      f"{record['report']['num_networks']} |"
      for name, block in record["report"]["networks"].items()
  )
  return (f"`{record['row']}`:\n\n{head}\n{lines}\n\n"
          f"![Gain over random real](figures/{record['row']}.png)")


def _pairs(records: dict[str, dict]) -> str:

  def networks(name):
    return records[name]["report"]["accuracy"]["per_network"]

  return "\n".join(
      f"- `{one}` over `{other}`: "
      + points.gain(*metrics.gain_over(networks(one), [networks(other)]))
      for one, other in PAIRS if one in records and other in records
  )


def _segments(record: dict) -> str:
  segments = record["report"]["segments"]
  seen = (sum(counts) for counts in segments["real_samples"])
  return (
      f"- `{record['row']}`: real samples seen "
      f"{', '.join(f'{n:,}' for n in seen)}; classified correctly after each "
      "segment "
      f"{', '.join(f'{n:,}' for n in segments['correct'])}; forgotten with "
      f"each further one {', '.join(f'{n:,}' for n in segments['forgotten'])}."
  )


def _embedding(record: dict) -> str:
  """A picture of sets among real data, and how near they are to it."""
  report = record["report"]
  distances = ", ".join(
      f"{name} {distance:.2f}"
      for name, distance in report["distance_to_nearest"].items()
  )
  return (
      f"![Real data and sets in one plane](figures/{record['row']}.png)\n\n"
      f"`{record['row']}`: features of a {report['network']['name']} after "
      f"{report['num_epochs']} epochs on real data, by t-SNE; markers are "
      "segments. From a real test sample to the nearest one of its class, mean "
      f"over {report['num_real']:,}: {distances}. Seed {report['seed']}, "
      f"{report['device']}, {record['date']}."
  )


def _swept(record: dict) -> str:
  """Figure and table of a sweep, and who is ahead."""
  swept = record["report"]["points"]
  against = record["report"]["against"]
  title = baselines.TITLES[points.BASELINES[against]]
  head = cells.head((
      "line", "per class", "bytes", "accuracy", title, "networks", "labels",
      "seed", "device", "distilling",
  ))
  lines = "\n".join("| " + " | ".join((
      p["label"],
      str(p["samples_per_class"]),
      f"{p['bytes']:,}",
      f"**{points.percent(p)}**",
      points.percent(p["real"]),
      str(p["num_networks"]),
      p["label_regime"],
      str(p["seed"]),
      p["device"],
      points.minutes(p["seconds"]["distill"]),
  )) + " |" for p in swept)
  ahead = "\n".join(
      f"- {pair}: {gains}"
      for pair, gains in points.comparisons(swept, against).items()
  )
  return (f"`{record['row']}`, {record['date']}:\n\n"
          f"![Accuracy](figures/{record['row']}.png)\n\n"
          f"{head}\n{lines}\n\n{ahead}")
