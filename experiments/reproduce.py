"""Runs rows of the results table, and writes the table.

  python experiments/reproduce.py --list
  python experiments/reproduce.py --rows=sldd_mnist_fixed_10 --workdir=runs
  python experiments/reproduce.py --render

A row is a command of `distill.py`, or of `evaluate.py` on the set of another
row, run in a folder of its own below `--workdir`, so an interrupted row goes on
where it stopped and a finished one is not run again. Its record is appended to
`docs/results/<group>.json`, in place of an older record of the same row, and
`docs/results.md` is rendered from all of them.
"""

import datetime
import json
from pathlib import Path
from typing import NamedTuple

import launch
import launched
import workdir
from absl import flags
from configs.datasets import DATASETS

from distill_jax import figures
from distill_jax.errors import ConfigError
from distill_jax.evaluation import metrics

ROOT = launched.ROOT
RESULTS = ROOT / "docs" / "results"

FLAGS = flags.FLAGS
flags.DEFINE_list("rows", [], "Rows to run, by name or first words of it.")
flags.DEFINE_string("workdir", "runs", "Where the runs live.")
flags.DEFINE_string("data_dir", None, "A folder of data sets.")
flags.DEFINE_bool("list", False, "List the rows.")
flags.DEFINE_bool("render", False, "Write docs/results.md from the records.")


class Row(NamedTuple):
  """Attributes:
    group: the file below docs/results.
    config: FILE[:options] below experiments/configs; or, of a row that
      evaluates, the row whose set it takes.
    published: accuracy in percent, or None.
    overrides: further arguments.
    accelerator: whether it is meant for one.
    evaluates: whether it is a command of `evaluate.py`.
  """

  group: str
  config: str
  published: float | None
  overrides: tuple[str, ...] = ()
  accelerator: bool = False
  evaluates: bool = False


# Figure 6 of arXiv 1910.02551, at a thirtieth of the outer steps.
SWEEP = (1, 2, 3, 5, 10, 20, 50, 100)

# Published accuracy in percent, in the order of their worth.
ACCELERATOR = {
    "sldd_mnist_fixed_100": 98.6,
    "dd_mnist_fixed_100": 96.6,
    "dd_mnist_fixed_10": 93.76,
    "dd_mnist_random_100": 79.5,
    "sldd_cifar10_fixed_100": 60.0,
    "sldd_cifar10_random_100": 39.8,
    "dd_cifar10_fixed_100": 54.0,
    "dd_cifar10_random_100": 36.8,
}


# The same for matching, at full width and length: method, data, per class.
MATCHING = {
    ("dc", "cifar10", 1): 28.3,
    ("dm", "cifar10", 10): 48.9,
    ("dc", "cifar10", 10): 44.9,
    ("dsa", "cifar10", 10): 52.1,
    ("dm", "cifar10", 50): 63.0,
    ("dc", "mnist", 1): 91.7,
    ("dc", "mnist", 10): 97.4,
    ("dsa", "mnist", 10): 97.8,
    ("dm", "mnist", 10): 97.5,
}

# Matching on two cores: ConvNet of width 32, few outer steps. Chosen on a
# validation split of MNIST at ten samples a class, but DC's (as DSA's) and
# CAFE's (no search).
SMALL = "width32"
_SHORT = {
    "dc": ("batch_size=64", "num_steps=600", "learning_rate=0.02",
           "epochs_between=5"),
    "dsa": ("batch_size=64", "num_steps=600", "learning_rate=0.02",
            "epochs_between=5"),
    "dm": ("batch_size=64", "num_steps=1500", "learning_rate=0.02"),
    "ncfm": ("batch_size=128", "num_steps=600", "learning_rate=0.01",
             "pool.num_networks=3", "pool.num_epochs=2"),
    "cafe": ("batch_size=32", "num_steps=300", "learning_rate=0.02",
             "watched=16", "max_epochs=10"),
    "idc": ("batch_size=64", "num_steps=800", "learning_rate=0.03",
            "batches_between=2"),
}
# Where gradient matching aims at its published accuracy.
_LONGER = {
    (method, "mnist", 10): ("num_steps=2500",) for method in ("dc", "dsa")
}
_TARGETS = ("convnet", "mlp", "lenet", "alexnet", "vgg11")
_PUBLISHED = {  # MNIST and Fashion-MNIST, 1 and 10 per class, width 128
    "dc": (91.7, 97.4, 70.5, 82.3), "dsa": (88.7, 97.8, 70.6, 84.6),
    "dm": (89.7, 97.5, None, None), "cafe": (93.1, 97.2, 77.1, 83.0),
    "ncfm": (None,) * 4, "idc": (88.9, 98.0, 70.7, 85.3),
}


def small(
    method: str, data: str, ipc: int, published=None, init="real",
    settings: tuple[str, ...] = (),
) -> Row:
  """A row of a matching method on two cores, on pixels.

  Args:
    method: whose configuration, with its settings for that data and size.
    data: set.
    ipc: samples per class.
    published: accuracy at width 128, in percent.
    init: of the samples.
    settings: field=value, after those of the method.
  """
  options = f"ipc={ipc},width=32,init={init},parameterization=pixels,recipe=dsa"
  common = ("optimizer=adam", "schedule=cosine", "recipe.num_epochs=300")
  longer = _LONGER.get((method, data, ipc), ())
  settings = (*common, *_SHORT.get(method, ()), *longer, *settings)
  return Row(
      f"{SMALL}_{data}", f"{method}_{data}.py:{options}", published,
      tuple(f"--config.{setting}" for setting in settings),
  )


def matching_rows() -> dict[str, Row]:
  """Every method on two data sets at two sizes, and what is compared."""
  table = {}
  for column, (data, ipc) in enumerate(
      (d, n) for d in ("mnist", "fashion_mnist") for n in (1, 10)
  ):
    for method, published in _PUBLISHED.items():
      table[f"{SMALL}_{method}_{data}_{ipc}"] = small(
          method, data, ipc, published[column]
      )
  for method in ("dc", "dsa", "idc"):
    name = f"{SMALL}_{method}_mnist_10"
    table[f"{name}_noise"] = small(method, "mnist", 10, init="noise")
    table[f"{name}_long"] = evaluation(
        name, "mnist", 1_000, "--baselines=random_real", "--num_networks=20",
        "--num_sets=5", "--networks_per_set=4",
    )
  table[f"{SMALL}_dsa_mnist_10_transfer"] = evaluation(
      f"{SMALL}_dsa_mnist_10", "mnist", 300,
      f"--networks={','.join(_TARGETS)}", "--num_networks=3",
  )
  # A hybrid and, with its steps, its parts (DSA above is one as it is).
  table[f"{SMALL}_hybrid_fashion_mnist_10"] = small(
      "hybrid", "fashion_mnist", 10, settings=_SHORT["dsa"]
  )
  table[f"{SMALL}_dm_fashion_mnist_10_part"] = small(
      "dm", "fashion_mnist", 10, settings=_SHORT["dsa"][:3]
  )
  # Segments against the whole, from the same images.
  segments = ("evaluation.baselines=random_real",)
  for name, method, more in (
      ("idc_fashion_mnist_20", "idc", ()),
      ("edd_fashion_mnist_20", "edd", ()),
      ("edd_fashion_mnist_20_free", "edd", ("segments.anchor_weight=0",)),
  ):
    table[f"{SMALL}_{name}"] = small(
        method, "fashion_mnist", 20,
        settings=(*_SHORT["idc"], *segments, *more),
    )
  return table


def evaluation(of: str, data: str, num_epochs: int, *arguments: str) -> Row:
  """A row that evaluates the set of another one of `matching_rows`.

  Args:
    of: that row.
    data: its data set.
    num_epochs: of recipe `dsa`.
    *arguments: further ones of `evaluate.py`.
  """
  recipe = f"dsa:num_epochs={num_epochs},strategy={DATASETS[data].strategy}"
  return Row(
      f"{SMALL}_{data}", of, None,
      (f"--data={DATASETS[data].spec}", f"--recipe={recipe}", *arguments),
      evaluates=True,
  )


def rows() -> dict[str, Row]:
  """Every row by name, in the table's order."""
  table = {"sldd_digits": Row("digits", "sldd_digits.py", None)}
  for images, published in ((10, 96.13), (5, 91.56)):
    for seed in range(3):
      table[f"sldd_mnist_fixed_{images}_seed{seed}"] = Row(
          "sldd_mnist",
          f"sldd_mnist.py:fixed,images={images},steps=1,epochs=3",
          published,
          (f"--config.seed={seed}", "--config.num_steps=120000"),
      )
  for images in SWEEP:
    steps = max(images // 10, 1)
    table[f"sldd_mnist_sweep_{images}"] = Row(
        "sldd_mnist_sweep",
        f"sldd_mnist.py:fixed,images={images},steps={steps},epochs=3", None,
        ("--config.num_steps=2000", "--config.evaluation.full_data"),
    )
  table["sldd_mnist_random_100"] = Row(
      "sldd_mnist", "sldd_mnist.py:random,images=100,steps=10,epochs=3", 82.7,
      ("--config.step_size_learning_rate=0.002",
       "--config.evaluation.num_networks=200",
       "--config.evaluation.networks_per_set=1",
       "--config.evaluation.baselines=all", "--config.evaluation.full_data"),
  )
  table |= matching_rows()
  for name, published in ACCELERATOR.items():
    method, data, init, images = name.split("_")
    steps = 1 if images == "10" else 10
    table[name] = Row(
        f"{method}_{data}",
        f"{method}_{data}.py:{init},images={images},steps={steps},epochs=3",
        published,
        ("--config.evaluation.num_networks=200",) * (init == "random"),
        accelerator=True,
    )
  for (method, data, ipc), published in MATCHING.items():
    table[f"{method}_{data}_{ipc}"] = Row(
        f"{method}_{data}", f"{method}_{data}.py:ipc={ipc}", published,
        ("--config.evaluation.num_networks=5",
         "--config.evaluation.networks_per_set=1"),
        accelerator=True,
    )
  return table


def main(argv):
  del argv
  table = rows()
  if FLAGS.list:
    for name, row in table.items():
      print(f"{name:32} {row.config}{'  (accelerator)' * row.accelerator}")
    return
  for name in chosen(FLAGS.rows, table):
    record = run_row(name, table[name])
    append(table[name].group, record)
  if FLAGS.rows or FLAGS.render:
    records = read_records(table)
    (ROOT / "docs" / "results.md").write_text(render(table, records))
    draw_sweep(records)


def chosen(wanted: list[str], table: dict[str, Row]) -> list[str]:
  """The rows meant: by name, or all that begin so and go on with `_`."""
  names = []
  for text in wanted:
    begun = [n for n in table if n == text or n.startswith(f"{text}_")]
    if not begun:
      raise ConfigError(f"`--rows` must name rows of --list; got {text}.")
    names += [text] if text in table else begun
  return [name for name in table if name in names]


def run_row(name: str, row: Row) -> dict:
  """Runs a row to its end and returns its record."""
  home = (ROOT / FLAGS.workdir).relative_to(ROOT)
  places = [f"--cache_dir={FLAGS.workdir}"]
  if FLAGS.data_dir:
    places.append(f"--data_dir={Path(FLAGS.data_dir).resolve()}")
  if row.evaluates:
    artifact = home / row.config / "distilled.safetensors"
    if not (ROOT / artifact).exists():
      raise ConfigError(
          f"row {name} evaluates the set of {row.config}; run that one first."
      )
    report = launched.evaluate(
        home / name, artifact, [*row.overrides, *places]
    )
  else:
    config = f"--config=experiments/configs/{row.config}"
    report = launched.distil(home / name, [config, *row.overrides, *places])
  file = ROOT / home / name / launched.REPORT
  date = datetime.date.fromtimestamp(file.stat().st_mtime)
  return dict(
      row=name,
      command=report["command"],
      date=date.isoformat(),
      published=row.published,
      report=report,
  )


def append(group: str, record: dict) -> None:
  """Adds a record to its group's file, in place of one of the same row."""
  RESULTS.mkdir(parents=True, exist_ok=True)
  workdir.update_json(
      RESULTS / f"{group}.json",
      lambda records: [
          r for r in records if r["row"] != record["row"]
      ] + [record],
      [],
  )


def read_records(table: dict[str, Row]) -> dict[str, dict]:
  """Records by row, in the table's order."""
  found = {
      record["row"]: record
      for file in sorted(RESULTS.glob("*.json"))
      for record in json.loads(file.read_text())
  }
  return {name: found[name] for name in table if name in found}


def render(table: dict[str, Row], records: dict[str, dict]) -> str:
  """docs/results.md: every measured row, and the commands of the others."""
  measured = list(records.values())
  return TEMPLATE.format(
      measured_head=_head(_COLUMNS),
      baselines_head=_head(("row", "distilled", *_BASELINES.values())),
      measured="\n".join(
          _line(r) for r in measured if not _matching(r)
      ),
      matching_head=_head(_MATCHING_COLUMNS),
      matching="\n".join(
          _matching_line(r) for r in measured if _matching(r)
      ) or "Not measured.",
      baselines="\n".join(filter(None, (
          _baselines(r) for r in measured if not _matching(r)
      ))),
      transfer="\n\n".join(
          _transfer(r) for r in measured if "networks" in r["report"]
      ) or "Not measured.",
      segments="\n".join(
          _segments(r) for r in measured if "segments" in r["report"]
      ) or "Not measured.",
      sweep=_distillation_size(_sweep(records)),
      commands="\n".join(
          f"- `{r['row']}`: `{r['command']}`" for r in measured
      ),
      absent="\n".join(
          f"- `{name}`: `python experiments/reproduce.py --rows={name}`"
          + (" (accelerator)" if row.accelerator else "")
          for name, row in table.items() if name not in records
      ) or "- none",
  )


def draw_sweep(records: dict[str, dict]) -> None:
  """docs/figures/sldd_mnist_sweep.png, once two of its rows are measured."""
  sweep = _sweep(records)
  if len(sweep) < 2:
    return
  points = [
      dict(label="SLDD, fixed initialisation", num_samples=r["num_samples"],
           mean=r["accuracy"]["mean"], std=r["accuracy"]["std"])
      for r in sweep
  ]
  figure = figures.accuracy_against(
      points, full_data=sweep[0]["full_data_accuracy"]
  )
  figures.save(figure, ROOT / "docs" / "figures" / "sldd_mnist_sweep.png")


def _sweep(records: dict[str, dict]) -> list[dict]:
  return [
      record["report"] for name, record in records.items()
      if name.startswith("sldd_mnist_sweep_")
  ]


def _distillation_size(sweep: list[dict]) -> str:
  if not sweep:
    return "Not measured."
  sizes = [r["num_samples"] for r in sweep]
  ratios = [r["ratio"] for r in sweep]
  reached = {
      target: metrics.distillation_size(sizes, ratios, target)
      for target in (80, 90, 95)
  }
  return (
      "MNIST, LeNet, fixed initialisation, three epochs, 2,000 outer steps: a "
      "thirtieth of the steps of the rows above, hence lower.\n\n"
      "![Accuracy against number of samples](figures/sldd_mnist_sweep.png)"
      f"\n\nSizes {', '.join(map(str, sizes))}; accuracy on all data "
      f"{100 * sweep[0]['full_data_accuracy']:.2f} %. Smallest size whose "
      "ratio reaches A %: "
      + ", ".join(f"d_{t} = {size:g}" for t, size in reached.items()) + "."
  )


TEMPLATE = """# Results

Every measured row, misses included; nothing here is typed by hand
(`python experiments/reproduce.py --render` writes this page from
`docs/results/*.json`). Accuracies are percent on the whole test split, taken
once, after the last step. What is tested is the last iterate; with more than
60,000 steps on a fixed initialisation, the iterate with the lowest training
loss after those. Unless it says otherwise, hyper-parameters were chosen by the
loss on training data.
`networks` counts freshly trained networks (one where the initialisation is
fixed). MNIST files are found below `--data_dir` or
`$DISTILL_JAX_DATA`.

{measured_head}
{measured}

## Baselines of the same budget

Same initialisation regime and number of steps, step size chosen on
validation; `converged` is random real data trained to convergence.

{baselines_head}
{baselines}

## Matching, on two CPU cores

ConvNet of depth 3 and width 32, hard labels, pixels, few outer steps: what each
method gives in minutes without an accelerator, not what it is capable of.
`published` is of width 128, of up to 250 times the steps and of the method's
own recipe; IDC's is without multi-formation. Settings were chosen on a
validation split of MNIST with ten samples a class; DC takes those of DSA, and
CAFE's were set without a search. All sets are trained on by recipe `dsa`, of as
many epochs as the table says. `gain` is over random real data of as many
samples, ± its standard error over networks and sets; `equal bytes` is random
real data, 8 bits a pixel, of as many bytes as the set has. `cosine` and `norm`
are of the updates, from start to end: how alike those of a class are, and how
far a sample went. Times are of one core while another job had the other, and of
`_long` and `_transfer` rows that of the set.

{matching_head}
{matching}

### On other networks

{transfer}

### In segments

{segments}

## Accuracy against number of samples

{sweep}

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
    "row", "samples", "accuracy", "random real", "gain", "equal bytes",
    "published", "cosine", "norm", "epochs", "networks", "seed", "device",
    "distilling", "date",
)
_BASELINES = {
    "random_real": "random",
    "optimised_real": "best 20 %",
    "kmeans": "k-means",
    "class_mean": "mean",
    "knn_random": "kNN random",
    "knn_kmeans": "kNN k-means",
    "byte_matched_real": "equal bytes",
    "random_real_converged": "converged",
}


def _head(columns) -> str:
  return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def _line(record: dict) -> str:
  report = record["report"]
  minutes = report["seconds"]["distill"] / 60
  published = record["published"]
  ratio = report.get("ratio")
  return "| " + " | ".join((
      f"`{record['row']}`",
      str(report["num_samples"]),
      report["student_init"],
      report["label_regime"],
      f"**{_percent(report['accuracy'])}**",
      "-" if published is None else f"{published}",
      "-" if ratio is None else f"{ratio:.1f}",
      str(report["num_networks"]),
      str(report["seed"]),
      report["device"],
      f"{minutes:.0f} min" if minutes >= 1 else f"{60 * minutes:.0f} s",
      record["date"],
  )) + " |"


def _baselines(record: dict) -> str | None:
  report = record["report"]
  if not report.get("baselines"):
    return None
  cells = (
      _percent(report["baselines"][name])
      if name in report["baselines"] else "-" for name in _BASELINES
  )
  return (f"| `{record['row']}` | {_percent(report['accuracy'])} | "
          + " | ".join(cells) + " |")


def _matching(record: dict) -> bool:
  return record["row"].startswith(f"{SMALL}_")


def _matching_line(record: dict) -> str:
  report = record["report"]
  baselines = report["baselines"]
  random = baselines.get("random_real")
  gain = random and random["gain"]
  same_bytes = baselines.get("byte_matched_real")
  updates = report.get("updates")
  return "| " + " | ".join((
      f"`{record['row']}`",
      str(report["num_samples"]),
      f"**{_percent(report['accuracy'])}**",
      _percent(random) if random else "-",
      f"{100 * gain['mean']:+.2f} ± {100 * gain['stderr']:.2f}"
      if random else "-",
      _percent(same_bytes) if same_bytes else "-",
      "-" if record["published"] is None else f"{record['published']}",
      f"{updates['cosine']:.3f}" if updates else "-",
      f"{updates['norm']:.1f}" if updates else "-",
      str(report["recipe"]["num_epochs"]),
      str(report["num_networks"]),
      str(report["seed"]),
      report["device"],
      f"{report['seconds']['distill'] / 60:.0f} min",
      record["date"],
  )) + " |"


def _transfer(record: dict) -> str:
  """A table of what a set does for other networks."""
  head = _head(("network", "distilled", "random real", "gain", "networks"))
  lines = "\n".join(
      f"| {name} | **{_percent(block['accuracy'])}** | "
      f"{_percent(block['random_real'])} | "
      f"{100 * block['random_real']['gain']['mean']:+.2f} ± "
      f"{100 * block['random_real']['gain']['stderr']:.2f} | "
      f"{record['report']['num_networks']} |"
      for name, block in record["report"]["networks"].items()
  )
  return f"`{record['row']}`:\n\n{head}\n{lines}"


def _segments(record: dict) -> str:
  segments = record["report"]["segments"]
  seen = (sum(counts) for counts in segments["real_samples"])
  return (
      f"- `{record['row']}`: real samples seen "
      f"{', '.join(f'{n:,}' for n in seen)}; right after each segment "
      f"{', '.join(f'{n:,}' for n in segments['correct'])}; forgotten with "
      f"each further one {', '.join(f'{n:,}' for n in segments['forgotten'])}."
  )


def _percent(accuracy: dict) -> str:
  mean, std = (f"{100 * accuracy[part]:.2f}" for part in ("mean", "std"))
  return f"{mean} ± {std}" if accuracy["std"] else mean


if __name__ == "__main__":
  launch.start(main)
