"""The results page: its rows are commands that exist, and it is up to date."""

import json
import shlex
from pathlib import Path

import launched
import pytest
import results_figures
import results_page
import results_short
import rows

from distill_jax import methods
from distill_jax.errors import ConfigError

ROOT = Path(__file__).parents[1]
TABLE = rows.table()


def test_every_row_of_distil_is_a_method():
  for name, row in TABLE.items():
    if row.program == "distill":
      config = rows.configuration(row)
      method = methods.from_spec(config.method.to_dict()).name
      assert f"_{method}_" in f"_{name}_"


@pytest.mark.parametrize(
    "row", [row for row in TABLE.values() if row.program == "sweep"])
def test_sweeps_set_fields_of_their_configurations(row):
  given = launched.meaning(row.arguments)
  for method in given["--methods"].split(","):
    settings = [
        f"--config.{field}={value}" for setting in given["--set"]
        for of, _, field in [setting.partition("=")[0].rpartition(":")]
        for value in [setting.partition("=")[2]] if of in ("", method)
    ]
    options = f"data={given['--dataset']},ipc=1,{given['--options']}"
    config = rows.configuration(
        rows.Row(
            "", "distill",
            (f"--config=experiments/configs/{method}.py:{options}", *settings)))
    steps = methods.from_spec(config.method.to_dict()).num_steps
    assert f"--config.method.num_steps={steps}" in settings


def test_rows_take_the_sets_of_rows():
  of = [name for row in TABLE.values() for name in row.sets.values()]
  assert of
  assert all(TABLE[name].program == "distill" for name in of)


def test_rows_that_are_compared_are_rows():
  assert {name for row in TABLE.values() for name in row.over} <= set(TABLE)


def test_a_row_is_meant_by_its_name_or_its_first_words():
  assert rows.chosen(["sldd_digits"], TABLE) == ["sldd_digits"]
  assert rows.chosen(["sldd_mnist_fixed_5"], TABLE) == [
      f"sldd_mnist_fixed_5_seed{i}" for i in range(3)
  ]
  assert rows.chosen(["dc_mnist_1"], TABLE) == ["dc_mnist_1"]
  with pytest.raises(ConfigError, match="rows of --list; got sldd_di"):
    rows.chosen(["sldd_di"], TABLE)


def test_the_page_is_that_of_its_records():
  records = results_page.read(ROOT / "docs" / "results", TABLE)
  page = results_page.render(TABLE, records)
  assert page == (ROOT / "docs" / "results.md").read_text()


def test_every_record_is_of_a_row():
  files = (ROOT / "docs" / "results").glob("*.json")
  of = {r["row"] for file in files for r in json.loads(file.read_text())}
  assert of <= set(TABLE)


def test_records_are_of_what_their_rows_run_today():
  records = results_page.read(ROOT / "docs" / "results", TABLE)
  for name, record in records.items():
    found = launched.meaning(shlex.split(results_page.today(record))[1:])
    wanted = launched.meaning(
        launched.of_row(name, TABLE, ROOT / "runs").command)
    if name == "sldd_mnist_fixed_5_seed1":  # half of the steps, as it says
      del wanted["--config.method.num_steps"]
    assert found == wanted, name


def test_without_records_every_row_is_absent(tmp_path):
  (tmp_path / "results").mkdir()
  results_page.write(tmp_path, TABLE)
  page = (tmp_path / "results.md").read_text()
  _, _, absent = page.partition("## Not measured")
  assert absent.count("`python experiments/reproduce.py") == len(TABLE)
  assert page.count("Not measured.") == 22  # every section


def test_figures_of_minutes_and_of_bits(tmp_path):

  def record(mean, **report):
    return dict(
        report=dict(accuracy=dict(mean=mean, std=0.01), baselines={}, **report))

  real = dict(byte_matched_real=dict(mean=0.7, std=0.02))
  records = {
      "width32_dm_mnist_10": record(0.8, seconds=dict(distill=60.0)),
      "width32_tgdd_mnist_10":
          record(
              0.9,
              seconds=dict(distill=60.0),
              experts=dict(seconds=[30.0, 30.0])),
      "width32_dsa_fashion_mnist_10": record(0.5, seconds=dict(distill=1.0)),
      "storage_dm_mnist_10_8bit": record(0.8, storage_bytes=dict(total=1_000)),
      "storage_dm_mnist_10_4bit": record(0.7, storage_bytes=dict(total=600))
  }
  records["storage_dm_mnist_10_8bit"]["report"]["baselines"] = real
  minutes = [*results_figures._by_minutes("mnist", TABLE, records)]
  assert [(p["label"], p["minutes"]) for p in minutes] == [("DM", 1.0),
                                                           ("TGDD", 2.0)]
  stored = [*results_figures._by_bytes("mnist", records)]
  assert [(p["label"], p["bytes"], p["mean"]) for p in stored
         ] == [("DM, pixels", 1_000, 0.8),
               ("random real, as many bytes or more, 8 bits", 1_000, 0.7),
               ("DM, pixels", 600, 0.7)]
  made = results_figures.write(tmp_path, TABLE, records)
  assert made == ["minutes_mnist.png", "bytes_mnist.png"]
  assert {p.name for p in tmp_path.iterdir()} == set(made)


def test_figures_of_applications_have_records(tmp_path):
  records = ROOT / "docs" / "results" / "applications"
  few = tmp_path / "records"
  few.mkdir()
  for name in ("continual_mnist_1_class", "federated_mnist_100_two_classes_k1"):
    (few / f"{name}.json").write_text((records / f"{name}.json").read_text())
  results_figures.write_applications(tmp_path / "figures", few)
  made = {p.stem for p in (tmp_path / "figures").iterdir()}
  assert made == {"continual_mnist_1", "federated_mnist_100"}
  for record in results_figures.APPLICATIONS.values():
    assert (records / f"{record}.json").exists()


def test_sweeps_and_other_networks_are_drawn_from_records():
  records = results_page.read(ROOT / "docs" / "results", TABLE)
  names = "sweep_bits_cifar10", "width32_dsa_mnist_10_transfer"
  drawn = dict(
      results_figures._drawn(TABLE, {name: records[name] for name in names}))
  bits, other = (drawn[name] for name in names)
  title = "CIFAR-10, DM: accuracy at equal bytes, 24,656 per class"
  assert bits.get_suptitle() == title
  assert [text.get_text() for text in bits.legends[0].get_texts()] == [
      "pixels", "several images in one", "hallucinator", "frequencies",
      "linear bases", "neural fields", "random real, quantised the same way",
      "random real, as many bytes or more, 8 bits"
  ]
  assert other.get_suptitle() == "MNIST, DSA, 100 samples: accuracy by network"


def test_rows_below_published_ones_have_trials():

  def row(*arguments, **given):
    return rows.Row(
        "width32_mnist", "distill", (
            "--config=experiments/configs/dm.py:data=mnist,ipc=1,width=32",
            *arguments), **given)

  table = {
      "short": row("--config.method.num_steps=5", published=90.0),
      "double": row("--config.method.num_steps=1000", trial_of="short"),
      "long":
          rows.Row(
              "width32_mnist",
              "evaluate", ("--recipe=dsa:num_epochs=7",),
              sets=dict(artifact="short"),
              trial_of="short"),
      "near": row(published=82.0)
  }
  accuracies = dict(short=0.8, double=0.85, long=0.91, near=0.8)
  records = {
      name: dict(report=dict(accuracy=dict(mean=mean)))
      for name, mean in accuracies.items()
  }
  line = results_short.differences(table, records)
  assert line.startswith("- `short`, 10.0 points below: width 32 instead of")
  assert "outer steps 5 instead of 20,000" in line
  assert line.endswith(
      "With outer steps 1,000: 5.0 below (`double`). "
      "With epochs of training 7: 1.0 above (`long`).")


def test_trials_are_of_rows_with_a_published_accuracy():
  trials = {name: row for name, row in TABLE.items() if row.trial_of}
  assert trials
  record = dict(report=dict(accuracy=dict(mean=0.5)))
  for name, row in trials.items():
    assert TABLE[row.trial_of].published is not None
    assert results_short._trial(name, TABLE, {name: record})


def test_repeated_rows_differ_in_their_seed_alone():
  repeats = [row for row in TABLE.values() if row.repeats]
  assert repeats
  for row in repeats:
    new, old = map(rows.configuration, (row, TABLE[row.repeats]))
    assert new.seed != old.seed == 0
    for one in (new, old):
      one.seed, one.evaluation.baselines = 0, ""
    assert new.to_dict() == old.to_dict()


def test_repeated_rows_are_beside_each_other():
  row = TABLE["width32_dm_cifar10_1"]
  table = {name: row._replace(repeats="one") for name in ("far", "near")}
  accuracies = dict(one=0.8, far=0.785, near=0.815)
  records = {
      name:
          dict(
              row=name,
              report=dict(
                  accuracy=dict(
                      mean=mean,
                      std=0.01,
                      stderr=error,
                      per_network=[mean, mean])))
      for (name, mean), error in zip(
          accuracies.items(), (0.001, 0.005, 0.009), strict=True)
  }
  found = results_page._repeats(dict(one=row) | table, records)
  assert found.splitlines()[2:] == [
      "| `one` | 80.00 ± 1.00 | 78.50 ± 1.00, 81.50 ± 1.00 | 80.00 | 1.50 | "
      "0.50 | 1.50 |"
  ]


def test_networks_without_random_real_data_have_their_row():
  accuracy = dict(mean=0.9, std=0.01)
  text = results_page._transfer(
      dict(
          row="one",
          report=dict(
              num_networks=2, networks=dict(mlp=dict(accuracy=accuracy)))))
  assert "| mlp | **90.00 ± 1.00** | - | - | 2 |" in text


def test_a_row_may_name_other_data():
  config = rows.configuration(TABLE["tissue_dc_10"])
  assert config.data == "folder:tissue"
  assert config.preprocessing == "standardise"
  assert config.network.width == 32


def test_first_tables_have_a_line_a_method_and_a_column_a_size():
  table = {
      name: TABLE[name] for name in (
          "width32_dm_mnist_1", "width32_dm_mnist_10", "width128_dm_mnist_10")
  }
  records = {
      name:
          dict(
              report=dict(
                  accuracy=dict(mean=mean, std=0.01),
                  baselines=dict(random_real=dict(mean=0.5))))
      for name, mean in zip(table, (0.8, 0.9, 0.95), strict=True)
  }

  *_, line = results_short.tables(table, records).splitlines()
  assert line == (
      "| DM | **80.00 ± 1.00**<br>89.7 · 50.0 · - | "
      "**95.00 ± 1.00** (width 128)<br>97.5 · 50.0 · - | - |")
  below = results_short.differences(table, records).splitlines()
  less = (
      "width 32 instead of 128, outer steps 1,500 instead of 20,000, epochs of "
      "training 300 instead of 1,000.")
  assert below == [
      f"- `width32_dm_mnist_1`, 9.7 points below: {less}",
      f"- `width32_dm_mnist_10`, 7.5 points below: {less}"
  ]
