"""The console command: what it runs, says and refuses."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path
from unittest import mock

import jax
import launching
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import distill_jax as dd
from distill_jax import methods, runs
from distill_jax.commands import completion, options, words
from distill_jax.commands.main import program
from distill_jax.data.description import described
from distill_jax.errors import ConfigError, DataError

FEW = (
    "--method", "dm", "--set", "num_steps=2", "--set", "batch_size=4",
    "--network", "mlp:widths=[4]", "--num-networks", 1, "--baselines", "")


def _table(file: Path, counts=(12, 9)) -> Path:
  """Two numbers of two kinds, far from each other."""
  generator, lines = np.random.default_rng(0), ["a,b,label"]
  for kind, count in enumerate(counts):
    for a, b in generator.normal(size=(count, 2)) + 4 * kind:
      lines.append(f"{a:.3f},{b:.3f},{'xy'[kind]}")
  file.write_text("\n".join(lines))
  return file


@pytest.fixture
def here(tmp_path, monkeypatch):
  """An empty folder, which commands run in."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


def _call(*arguments):
  """`distill-jax ARGUMENTS`, in this process."""
  return CliRunner().invoke(
      program, [*map(str, arguments)],
      prog_name="distill-jax",
      catch_exceptions=False)


def _refused(*arguments) -> str:
  """The one line that it is refused with."""
  result = _call(*arguments)
  last = result.output.splitlines()[-1]
  assert result.exit_code == 2 and last.startswith("error: "), result.output
  assert "Traceback" not in result.output
  return last


@pytest.fixture
def asked(monkeypatch):
  """What is run, in place of running it."""
  found = {}

  class Run:

    def __init__(self, folder, source, method, network=None, **given):
      found.update(
          given, folder=folder, source=source, method=method, network=network)

    def go(self, *, again):
      found.update(went=True, again=again)

  monkeypatch.setattr(runs, "Run", Run)
  return found


def test_distils_and_evaluates(here):
  _table(here / "kinds.csv")
  result = _call("distill", "kinds.csv", *FEW)
  assert result.exit_code == 0, result.output
  assert "data: kinds.csv is read as csv:kinds.csv" in result.output
  assert "3 label rows of each class, not 10: half of the 6" in result.output
  assert result.output.count("compiling the first steps ...\n") == 1
  folder = here / "runs" / "kinds_dm_3"
  made = dd.load(folder / "distilled.safetensors")
  assert made.method == "dm" and made.num_rows == 6
  assert made.network["widths"] == [4]
  before = launching.contents(folder / "checkpoints")
  kept = launching.contents(folder)
  done = _call("distill", "kinds.csv", *FEW)
  assert done.exit_code == 0 and "it is finished" in done.output
  assert done.output.count("Verdict: ") == 1 and "resumed" not in done.output
  assert launching.contents(folder) == kept
  anew = _call("distill", "kinds.csv", *FEW, "--again")
  assert anew.exit_code == 0 and "resumed at step 2 of 2" in anew.output
  assert launching.contents(folder / "checkpoints") == before
  again = ("distill", "kinds.csv", *FEW, "--out", folder)
  line = _refused(*again, "--seed", 1)
  assert "`--out`" in line and "seed (0 there, 1 here)" in line
  kept = (folder / "report.json").read_bytes()
  assert json.loads(kept)["data"]["spec"] == "csv:kinds.csv"
  result = _call(
      "evaluate", folder, "kinds.csv", "--num-networks", 1, "--baselines", "",
      "--recipe", "dsa:num_epochs=2")
  assert result.exit_code == 0, result.output
  found = json.loads((folder / "evaluation.json").read_text())
  assert found["recipe"]["num_epochs"] == 2 and found["network"] == "mlp"
  assert (folder / "report.json").read_bytes() == kept


def test_what_is_run_where_little_is_said(asked, here):
  result = _call("distill", "digits")
  assert result.exit_code == 0 and asked["went"], result.output
  assert asked["method"].spec == methods.usual(asked["source"]).spec
  assert "method: dm, which suits data of this kind" in result.output
  assert asked["network"] is None and asked["per_class"] == 10
  assert asked["folder"] == Path("runs/digits_dm_10")
  assert asked["evaluation"] == dict(
      num_networks=5, full_data=False, columns="")
  assert asked["source"].validation is not None
  assert asked["reading"]["validation_fraction"] == 0.1


def test_what_is_said_is_run(asked, here):
  result = _call(
      "distill", "digits", "--method", "dsa", "--rows", 20, "--seed", 3,
      "--set", "num_steps=7", "--set", "recipe.num_epochs=9", "--set",
      "learn_labels=true", "--out", "there", "--time-limit", 1, "--full-data",
      "--baselines", "random_real", "--columns", "attacks", "--network",
      "convnet:width=8")
  assert result.exit_code == 0, result.output
  spec = asked["method"].spec
  assert (spec["num_steps"], spec["learn_labels"]) == (7, True)
  assert spec["recipe"]["num_epochs"] == 9
  assert asked["num_rows"] == 20 and asked["per_class"] is None
  assert asked["network"] == dict(name="convnet", width=8)
  assert asked["seed"] == 3 and asked["folder"] == "there"
  assert 0 < asked["time_limit"] <= 60
  assert asked["evaluation"] == dict(
      num_networks=5,
      full_data=True,
      baselines="random_real",
      columns="attacks")


def test_a_class_of_one_sample_is_told_its_whole_remedy(asked, here):
  _table(here / "one.csv", (12, 1))
  (here / "parts").mkdir()
  for part in "train", "test":
    _table(here / "parts" / f"{part}.csv", (12, 1))
  for command in "data", "distill":
    line = _refused(command, "one.csv")
    for said in ("one sample of class 'y'", "Add samples of it or drop it",
                 "`--validation` 0", "a test part of its own"):
      assert said in line, line
    assert len(line) <= 300
    result = _call(command, "csv:parts", "--validation", 0)
    assert result.exit_code == 0, result.output
  source = asked["source"]
  assert source.validation is None and source.test.num_samples == 13
  assert asked["reading"]["validation_fraction"] == 0


def test_kernels_have_float64_and_no_validation_part(asked, here):
  assert _call("distill", "digits", "--method", "kip").exit_code == 0
  assert jax.config.jax_enable_x64
  assert asked["source"].validation is None


@pytest.mark.parametrize(
    "error, code, said",
    [(methods.NonFinite("the loss is nan"), 3, "the loss is nan"),
     (runs.Interrupted("stopped at step 3", 15), 143, "stopped at step 3"),
     (KeyboardInterrupt(), 130, "stopped; the same command goes on"),
     (KeyError("x"), 1, "This is a fault of the program")])
def test_exit_codes(asked, here, monkeypatch, error, code, said):

  def go(self, *, again):
    raise error

  monkeypatch.setattr(runs.Run, "go", go)
  result = _call("distill", "digits")
  assert result.exit_code == code and said in result.output


def test_a_command_without_checkpoints_does_not_claim_to_go_on(
    here, monkeypatch):
  monkeypatch.setattr(
      "distill_jax.data.read", mock.Mock(side_effect=KeyboardInterrupt))
  result = _call("data", "digits")
  assert result.exit_code == 130 and result.output == "stopped\n"


def test_debug_shows_where_a_mistake_came_from(here):
  with pytest.raises(DataError):
    _call("distill", "nothing", "--debug")


@pytest.mark.parametrize(
    "arguments, said",
    [(["distill"], ["Missing argument 'DATA'", "distill --help"]),
     (["distil", "digits"], ["'distil'", "--help"]),
     (["distill", "digit"], ["`DATA`", "'digit'", "Did you mean 'digits'?"]),
     (["distill", "csv:none.csv"], ["`DATA`", "none.csv", "--data-dir"]),
     (["distill", "digits", "--sede", 1], ["--sede", "--seed"]),
     (["distill", "digits", "--num-steps", 9
      ], ["--num-steps is a setting", "--set num_steps=VALUE. See"]),
     (["data", "table.csv", "--label", "kind"
      ], ["--label stands behind a table: FILE.csv?label=VALUE. See"]),
     (["distill", "digits", "--whatever", 9], ["No such option", "--whatever"]),
     (["report", "a b", "c"], ["one folder", "report compare 'a b' c"]),
     (["distill", "digits", "--seed", "x"], ["--seed", "'x'"]),
     (["distill", "digits", "--per-class", 0], ["--per-class", "0"]),
     (["distill", "digits", "--per-class", 1, "--rows", 10
      ], ["`--per-class` and `--rows`"]),
     (["distill", "digits", "--method", "dmm"], ["`--method`", "'dm'?"]),
     (["distill", "digits", "--set", "num_step=3"], ["`dm`", "'num_steps'?"]),
     (["distill", "digits", "--set", "num_steps"], ["`--set`", "NAME=VALUE"]),
     (["distill", "digits", "--set", "num_steps=few"], ["type int", "'few'"]),
     (["distill", "digits", "--network", "lenett"], ["`--network`", "lenet"]),
     (["distill", "digits", "--devices", "x"], ["`--devices`", "x"]),
     (["evaluate", "none", "digits"], ["none"]),
     (["methods", "dmm"], ["'dm'?"]),
     (["methods", "DM"], ["Did you mean 'dm'?"]),
     (["methods", "gaussian"], ["`NAME`", "own needs `--import` MODULE."]),
     (["distill", "digits", "--method", "g" * 99
      ], ["`--method`", "own needs `--import` MODULE."]),
     (["distill", "digits", "--network", "perceptron"
      ], ["`--network`", "own needs `--import` MODULE."]),
     (["methods", "--import", f"{'folder/' * 15}mine.py"
      ], [f"{'folder/' * 15}mine.py", "Write mine, in the folder of"]),
     (["data", "nothing"], ["`DATA`"]),
     (["report", "none"], ["none", "does not exist"]),
     (["completion", "csh"], ["'csh'", "bash"])])
def test_mistakes_are_one_line(here, arguments, said):
  line = _refused(*arguments)
  assert all(text in line for text in said), line
  assert len(line) <= 300
  assert not list(here.iterdir())


def test_an_unknown_number_of_processes_is_a_mistake(here):
  line = _refused("distill", "digits", "--coordinator", "localhost:1")
  assert "`--coordinator`, `--num-processes` and `--process-id`" in line


def _files(folder: Path, *names: str) -> None:
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


@pytest.mark.parametrize(
    "names, text, spec",
    [([], "digits", "digits"), ([], "csv:a.csv", "csv:a.csv"),
     (["pets/cat/1.PNG"], "pets", "folder:pets"),
     (["pets/train/cat/1.jpg"], "pets", "folder:pets"),
     (["pets/cat/1.png"], "pets?size=8", "folder:pets?size=8"),
     (["a.csv"], "a.csv?label=kind", "csv:a.csv?label=kind"),
     (["A.CSV"], "A.CSV", "csv:A.CSV"), (["a.tsv"], "a.tsv", "csv:a.tsv"),
     (["a.npz"], "a.npz", "npz:a.npz"), (["a:b.npz"], "a:b.npz", "npz:a:b.npz"),
     (["pets/cat/1.png"], "folder:pets", "folder:pets")])
def test_bare_paths(here, names, text, spec):
  _files(here, *names)
  found, line = words.spec_of(text)
  assert found == spec
  assert line == ("" if text == spec else f"data: {text} is read as {spec}")


@pytest.mark.parametrize(
    "names", [["pets/cat.png"], ["pets/cat/1.png", "pets/labels.csv"],
              ["pets/x_train.npy"], ["pets/cat/notes.txt"], ["pets"],
              ["pets/train-images-idx3-ubyte.gz"]])
def test_paths_that_may_mean_several_things(here, names):
  _files(here, *names)
  with pytest.raises(DataError, match="must say of what kind pets is"):
    words.spec_of("pets")


def test_an_empty_folder_is_said_to_be_empty(here):
  (here / "pets").mkdir()
  assert "the folder pets is empty" in _refused("data", "pets")


def test_paths_below_the_folder_of_data(here):
  _files(here, "sets/a.npz")
  assert words.spec_of("a.npz", "sets")[0] == "npz:a.npz"


def test_says_what_data_read_as(here):
  _table(here / "uneven.csv", (60, 4))
  result = _call("data", "uneven.csv")
  assert result.exit_code == 0, result.output
  said = " ".join(result.output.split())
  for line in (
      "data: uneven.csv is read as csv:uneven.csv",
      "rows of 2 numbers columns a, b parts",
      "parts 45 train, 6 validation, 13 test", " x 43 5 12 y 2 1 1 ",
      "a class has only 2 training samples",
      "classes are uneven: the largest has 43 training samples, the smallest "
      "2", "by default sldd, 1 label row of each class, evaluated on mlp"):
    assert line in said, line


@pytest.mark.parametrize(
    "shape, kind", [((6, 6, 3), "images of 6 x 6 pixels, 3 channels"),
                    ((5, 2), "series of 5 steps, 2 channels"),
                    ((5, 1), "series of 5 steps, 1 channel"),
                    ((7,), "rows of 7 numbers")])
def test_kinds_of_data_are_described(shape, kind):
  x = np.random.default_rng(0).uniform(size=(80, *shape)).astype(np.float32)
  named = {2: "series", 1: "features", 3: "image"}[len(shape)]
  source = dd.from_arrays(x, np.arange(80) % 20, test_fraction=0, kind=named)
  text = described(source)
  assert kind in text and "there is no test part" in text
  rows = [line for line in text.splitlines() if re.search(r"\b\d+ +4$", line)]
  assert len(rows) == 12 and "..." in text  # of the 20 classes
  assert max(map(len, text.splitlines())) <= 80


def test_many_columns_are_shortened():
  x, names = np.eye(40), [f"column {i}" for i in range(40)]
  text = described(dd.from_arrays(x, np.arange(40) % 2, columns=names))
  said = " ".join(text.split())
  assert "columns column 0, column 1, " in said and "28 more parts" in said
  assert max(map(len, text.splitlines())) <= 80


def test_texts_are_described():
  x = ["who is it", "how many are", "where to go"] * 8
  text = described(dd.from_texts(x, ["who", "number", "place"] * 8))
  assert "texts of at most 3 words" in text and "WordVectors" in text
  assert "\n  with vectors  100.0 % of the words\n" in text


def test_methods_are_listed_and_told():
  listed = _call("methods").output
  for name, entry in methods.ENTRIES.items():
    assert re.search(rf"^{name} +\S", listed, re.M) and entry.paper in listed
  assert listed.count("labels: ") == len(methods.ENTRIES)
  told = _call("methods", "dm").output
  for setting, value in methods.ENTRIES["dm"].defaults.items():
    assert f"\n  {setting}: " in told and f"{value}"[:9] in told
  assert "arXiv" in told


def test_reports_are_pages_of_folders(here, monkeypatch):
  calls = []
  pages = types.ModuleType("distill_jax.pages")
  pages.write_report = lambda folder: calls.append(folder) or Path("page.html")
  pages.write_comparison = lambda folders, path: (
      calls.append((folders, path)) or path)
  monkeypatch.setitem(sys.modules, "distill_jax.pages", pages)
  for name in "ab":
    (here / name).mkdir()
  result = _call("report", "a")
  assert result.output == "written to page.html\n"
  result = _call("report", "compare", "a", "b", "--out", "both.html")
  assert result.output == "written to both.html\n"
  assert calls == ["a", (["a", "b"], "both.html")]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_prints_a_script(shell):
  result = _call("completion", shell)
  assert result.exit_code == 0 and "_DISTILL_JAX_COMPLETE" in result.output
  assert f"{shell}_complete" in result.output


@pytest.mark.parametrize(
    "before, typed, found",
    [(["distill", "--method"], "ds", ["dsa"]),
     (["distill", "--network"], "len", ["lenet"]),
     (["evaluate", "a", "digits", "--networks"], "mlp,len", ["mlp,lenet"]),
     (["distill"], "dig", ["digits", "dig"]), (["methods"], "sl", ["sldd"]),
     ([], "comp", ["completion"])])
def test_completes(before, typed, found):
  shell = ShellComplete(program, {}, "distill-jax", "_DISTILL_JAX_COMPLETE")
  assert [c.value for c in shell.get_completions(before, typed)] == found


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in program.commands), ["report", "compare"]],
    ids=" ".join)
def test_help_fits_a_screen_and_has_an_example(command):
  result = _call(*command, "--help")
  lines = result.output.splitlines()
  assert result.exit_code == 0 and len(lines) <= 40
  assert max(map(len, lines)) <= 80
  assert any(re.match(r" +Examples?\b.*distill-jax ", line) for line in lines)


def test_version():
  assert dd.__version__ in _call("--version").output


_HELP = """
import sys
from distill_jax.commands.main import main
sys.argv = ["distill-jax", *{arguments}]
try:
  main()
finally:
  print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["distill", "--help"], ["distill", "--sede"],
                  ["completion", "zsh"]],
    ids=" ".join)
def test_help_does_not_wait_for_jax(arguments):
  done = subprocess.run(
      [sys.executable, "-c",
       _HELP.format(arguments=arguments)],
      capture_output=True,
      text=True)
  assert done.returncode == (2 if "--sede" in arguments else 0), done.stderr
  loaded = {name.partition(".")[0] for name in done.stderr.split()}
  assert "click" in loaded and not loaded & {"jax", "numpy"}


def test_output_that_nobody_reads_ends_the_command():
  process = subprocess.Popen(
      [sys.executable, "-m", "distill_jax.commands.main", "methods"],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE)
  process.stdout.close()
  assert process.stderr.read() == b""
  assert process.wait() == 141


@pytest.mark.parametrize("words", [(), ("report",)], ids=["program", "group"])
def test_without_arguments_the_help_is_shown(words):
  result = _call(*words)
  assert result.exit_code == 2
  assert result.output.startswith("Usage: distill-jax")
  assert result.output.count("\n") > 8 and "error" not in result.output


def test_errors_name_the_argument_that_is_wrong(here):
  assert "`SET` must name" in _refused("evaluate", "no.safetensors", "digits")
  (here / "empty").mkdir()
  assert "`RUN` must" in _refused("report", "empty")
  assert "`--method`" in _refused("distill", "digits", "--method", "")


@pytest.mark.parametrize(
    "shape, labels, said",
    [((8, 8, 1), "ab",
      "classes of the set; they lack 0, 1, 2 and 7 more and have "
      "a, b besides"),
     ((8, 8, 1), range(12), "they lack none and have 10, 11 besides"),
     ((8, 8, 1), range(3), "none of 3, 4, 5, 6 and 3 more"),
     ((4,), range(10),
      "like those of the set, (8, 8, 1); npz:data.npz has (4,)")])
def test_data_that_do_not_fit_a_set_are_compared_with_it(
    here, shape, labels, said):
  dd.examples.load("digits_1").save("set.safetensors")
  labels = np.array(list(labels))
  np.savez(
      "data.npz",
      x_train=np.ones((60, *shape), np.float32),
      y_train=labels[np.arange(60) % len(labels)])
  assert said in _refused("evaluate", "set.safetensors", "data.npz")


def test_samples_of_another_kind_or_size_than_those_of_a_set(here):
  image = pytest.importorskip("PIL.Image")
  dd.examples.load("digits_1").save("set.safetensors")
  names = [f"pictures/{kind}/{i}.png" for kind in range(10) for i in range(2)]
  _files(here, *names)
  for name in names:
    image.new("L", (6, 4)).save(name)
  line = _refused("evaluate", "set.safetensors", "pictures")
  assert "has (4, 6, 1). ?size=8x8 after the folder" in line
  rows = "who is it,0\nwhere am I,1\n" * 5
  (here / "t.csv").write_text(f"text,label\n{rows}")
  line = _refused("evaluate", "set.safetensors", "csv:t.csv?text=text")
  assert "must be numbers, as those of the set; csv:t.csv" in line


def test_lists_of_names_end_between_names():
  names = sorted(methods.ENTRIES)
  line = _refused("distill", "digits", "--method", "dmm")
  told = re.search(r"must be one of (.*) and (\d+) more; got", line)
  assert set(told[1].split(", ")) < set(names)
  assert len(told[1].split(", ")) + int(told[2]) == len(names)


def test_a_setting_and_a_field_of_it_are_refused_in_either_order():
  for given in (["a.b=2", "a=1"], ["a=1", "a.b=2"]):
    with pytest.raises(ConfigError, match="must not be set where"):
      options.settings(given)


def test_data_says_the_size_that_distill_takes(here):
  x, y = np.zeros((40, 4), np.float32), np.arange(40) % 2
  x[:, 0] = np.arange(40)
  np.savez("even.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
  assert "9 label rows" in _call("data", "even.npz").output
