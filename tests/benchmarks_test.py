"""The benchmarks run, and measure what they say; no bar is tested here."""

import importlib.util
import json
import pathlib
import shlex
import tempfile
from functools import partial
from unittest import mock

import accelerator
import chex
import commits
import compare
import conv_scan
import evaluation
import frepo_step
import frozen_features
import jax
import kip_step
import matching_step
import memory
import numpy as np
import panel
import pytest
import sldd_step
import steps
import text_step
import timing
import trajectory_step
import unrolled
from absl.testing import absltest, parameterized

import distill_jax as dd
from distill_jax import nn
from distill_jax.methods import condensing

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"

SCRIPTS = (
    commits, compare, conv_scan, evaluation, frepo_step, frozen_features,
    kip_step, matching_step, memory, panel, sldd_step, text_step,
    trajectory_step)
needs_torch = absltest.skipIf(
    importlib.util.find_spec("torch") is None, "PyTorch is not installed")


class TimingTest(parameterized.TestCase):

  def test_alternates_after_warming_up(self):
    calls = []
    candidates = {name: lambda n=name: calls.append(n) for name in "ab"}
    samples = timing.alternate(candidates, rounds=3, seconds=0)
    assert "".join(calls) == "aabb" + "ababab"
    assert [len(s) for s in samples.values()] == [3, 3]

  def test_a_sample_repeats_until_it_is_long_enough(self):
    ticks = iter(np.arange(0, 100, 0.5))  # every call takes half a second
    calls = []
    with mock.patch.object(timing.time, "perf_counter", lambda: next(ticks)):
      samples = timing.alternate({"a": lambda: calls.append(1)},
                                 rounds=1,
                                 seconds=2.0)
    assert len(calls) == 2 + 4
    assert samples == {"a": [0.5 / 4]}

  def test_ratio_is_the_median_within_rounds(self):
    assert timing.ratio([2.0, 9.0, 40.0], [1.0, 3.0, 10.0]) == 3.0
    assert timing.milliseconds([0.001, 0.5, 0.002]) == 2.0

  @parameterized.parameters((3.0, True), (2.9, False), (None, "-"))
  def test_columns_of_two_candidates(self, bar, met):
    row = timing.columns({
        "a": [2.0, 9.0, 40.0],
        "b": [1.0, 3.0, 10.0]
    },
                         bar=bar,
                         per_call=10)
    assert row["a_ms"] == 900 and row["b_seconds"] == [1.0, 3.0, 10.0]
    assert row["a/b"] == 3.0 and row["met"] == met

  def test_a_candidate_that_is_missing_is_not_compared(self):
    options = mock.Mock(rounds=1, seconds=0)
    row = timing.compare(options, 1.0, ours=lambda: 0, torch=None)
    assert list(row) == ["ours_ms", "ours_seconds"]

  @parameterized.parameters(*SCRIPTS)
  def test_refused_arguments(self, script):
    for argument in ("--rounds=0", "--unknown"):
      with pytest.raises(SystemExit) as error:
        script.main([argument])
      assert error.value.code == 2


class ScriptsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()))

  @pytest.mark.slow
  def test_accelerator_in_small(self):
    """Every part leaves its file; one that fails is tried again."""
    scripts = {"conv_scan": "--length=2 --batch_size=1", "missing": ""}
    call = [f"--out={self.folder}", "--size=tiny"]
    with mock.patch.object(accelerator, "SCRIPTS", scripts):
      accelerator.main(call)
    names = {file.name for file in self.folder.iterdir()}
    parts = {"products", "convolutions", "shares", "conv_scan"}
    assert names == {f"{name}.json" for name in parts} | {"missing.failed"}
    found = json.loads((self.folder / "shares.json").read_text())
    assert [row["work"] for row in found["results"]
           ] == ["dm", "dsa", "mtt", "evaluation"]
    rate = json.loads((self.folder / "products.json").read_text())["results"]
    for row in found["results"]:
      assert row["teraflops"] > 0 and row["ms"] > 0
      for name in ("default", "float32"):
        np.testing.assert_allclose(
            row[f"share_of_{name}"] * rate[name], 1e12 * row["teraflops"])
    again = mock.Mock(return_value=dict(results=[]))
    with (mock.patch.object(accelerator, "SCRIPTS",
                            scripts), mock.patch.object(accelerator, "_program",
                                                        again)):
      accelerator.main([*call, "--minutes=0"])
      again.assert_not_called()
      accelerator.main(call)
    assert [args.args[2] for args in again.call_args_list] == ["missing"]
    assert not (self.folder / "missing.failed").exists()
    fault = mock.Mock(side_effect=KeyError("own"))
    (self.folder / "missing.json").unlink()
    with (mock.patch.object(accelerator, "SCRIPTS", scripts),
          mock.patch.object(accelerator, "_program",
                            fault), pytest.raises(KeyError)):
      accelerator.main(call)

  def test_one_round_of_conv_scan(self):
    out = self.folder / "result.json"
    arguments = ["--rounds=2", "--seconds=0", "--length=2", "--batch_size=1"]
    with mock.patch.object(conv_scan, "WORK", conv_scan.WORK[-1:]):
      conv_scan.main([*arguments, f"--out={out}"])
    document = json.loads(out.read_text())
    assert document["command"] == (
        "python benchmarks/conv_scan.py --rounds=2 --seconds=0.0 --length=2 "
        "--batch_size=1")
    machine = document["machine"]
    assert machine["cores"] >= 1
    assert machine["versions"]["jax"] == jax.__version__
    ours, plain = document["results"]
    assert [ours["form"], plain["form"]] == ["conv2d", "lax"]
    assert ours["met"] == (ours["scan/top"] <= 1.3)
    assert ours["scan/top"] == pytest.approx(
        np.median(np.divide(ours["scan_seconds"], ours["top_seconds"])))
    assert len(plain["top_seconds"]) == 2

  def test_chains_of_convolutions_agree(self):
    k_x, k_w = jax.random.split(jax.random.key(0))
    x = 30 * jax.random.normal(k_x, (2, 4, 4, 2))
    w = 30 * jax.random.normal(k_w, (3, 3, 2, 3))
    top, _ = conv_scan.chains(conv_scan.plain, 1, 2)
    _, scan = conv_scan.chains(conv_scan.conv2d, 1, 2)
    chex.assert_trees_all_close(top(x, w), scan(x, w), rtol=1e-5, atol=1e-5)
    with pytest.raises(AssertionError):
      chex.assert_trees_all_close(top(x, w), (x, w), rtol=1e-5, atol=1e-5)

  def test_evaluation_counts_alike(self):
    one_call, loop = evaluation.candidates(
        nn.mlp(evaluation.NUM_CLASSES, widths=(4,)),
        num_networks=2,
        num_test=12)
    counts = one_call()
    np.testing.assert_array_equal(counts, loop())
    np.testing.assert_array_equal(counts.sum((1, 2)), [12, 12])
    assert (counts[0] != counts[1]).any()

  def test_gradients_that_differ_are_refused(self):
    ours = dict(codes=np.array([1.0, 2.0]), labels=np.array(4.0))
    assert steps.difference(ours, ours) == 0
    other = dict(ours, labels=np.array(4.0 / 1.01))
    with self.assertRaisesRegex(RuntimeError, "to 0.001; got .*labels.*0.01"):
      steps.difference(ours, other)
    assert 0.0099 < steps.difference(ours, other, rtol=0.02) < 0.0101
    with self.assertRaisesRegex(RuntimeError, "labels.*nan"):
      steps.difference(ours, dict(ours, labels=np.array(np.nan)))

  @pytest.mark.slow
  def test_one_round_of_frepo_step(self):
    out = self.folder / "result.json"
    frepo_step.main([
        "--width=4", "--num_samples=10", "--num_real=16", "--steps=1",
        "--rounds=1", "--seconds=0", f"--out={out}"
    ])
    (row,) = json.loads(out.read_text())["results"]
    assert row["difference"] < 1e-4
    assert row["met"] == (row["ours/python"] <= row["bar"])

  def test_one_round_of_kip_step(self):
    out = self.folder / "result.json"
    kip_step.main([
        "--num_samples=10", "--num_targets=20", "--rounds=1", "--seconds=0",
        f"--out={out}"
    ])
    (row,) = json.loads(out.read_text())["results"]
    assert row["samples x targets"] == "10 x 20" and row["ours_ms"] > 0

  @needs_torch
  def test_torch_has_the_same_gradient(self):
    plan = unrolled.sldd(
        unrolled.random_images(16), num_epochs=2, batch_size=8, fixed=True)
    difference = unrolled.gradient_difference("lenet", plan, steps.find_torch())
    assert difference < 1e-4

  @needs_torch
  @parameterized.parameters("text_convnet", "bi_lstm")
  def test_text_has_torchs_gradient(self, name):
    num_steps, num_epochs = text_step.SIZES[name]
    plan = unrolled.tdd(
        name,
        length=6,
        num_steps=num_steps,
        num_epochs=num_epochs,
        batch_size=4,
        fixed=True)
    difference = unrolled.gradient_difference(name, plan, steps.find_torch())
    assert difference < 1e-4

  @pytest.mark.slow
  def test_parts_of_a_sentence_take_less_memory(self):
    out = self.folder / "result.json"
    memory.main([
        "text", "--length=100", "--num_epochs=1", "--batch_size=4",
        f"--out={out}"
    ])
    parts, kept = json.loads(out.read_text())["results"]
    assert parts["met"] and parts["temporary_bytes"] < kept["temporary_bytes"]

  @needs_torch
  @pytest.mark.slow
  def test_matching_agrees_with_torch(self):
    out = self.folder / "result.json"
    matching_step.main([
        "--width=4", "--samples_per_class=1", "--batch_size=2", "--num_real=4",
        "--rounds=2", "--seconds=0", f"--out={out}"
    ])
    rows = {row["work"]: row for row in json.loads(out.read_text())["results"]}
    assert rows["dc"]["difference"] < 1e-3 > rows["dm"]["difference"]

  @needs_torch
  @pytest.mark.slow
  def test_trajectories_agree_with_torch(self):
    out = self.folder / "result.json"
    trajectory_step.main([
        "--width=4", "--samples_per_class=1", "--rounds=2", "--seconds=0",
        f"--out={out}"
    ])
    for row in json.loads(out.read_text())["results"]:
      assert row["difference"] < 1e-9
      assert row["ours_bytes"] > 0 < row["torch_bytes"]

  @parameterized.parameters((0, True), (1, False))
  def test_bars_of_trajectory_memory(self, beyond, met):
    sizes = iter([(1000, 10), (1000 + 4 * 10 * 30 + beyond, 10)] * 3)
    out = self.folder / "result.json"
    with mock.patch.object(memory, "of_trajectory",
                           lambda *_, **__: next(sizes)):
      memory.main(["trajectory", f"--out={out}"])
    rows = json.loads(out.read_text())["results"]
    assert [row["met"] for row in rows] == [True, met, "-", "-", "-", "-"]

  def test_only_ours_is_timed_without_torch(self):
    with mock.patch.object(importlib.util, "find_spec", lambda name: None):
      assert steps.find_torch() is None

  def test_memory_bar(self):
    weights = 4 * 61_706
    sizes = iter(
        [(size, weights, 7)
         for size in (1000, 1000 + 9 * weights, 1000 + 99 * weights + 2**20)] *
        2)
    out = self.folder / "result.json"
    with mock.patch.object(memory, "of_unroll", lambda *_: next(sizes)):
      memory.main(["unroll", "--num_steps=1,10,100", f"--out={out}"])
    document = json.loads(out.read_text())
    assert document["command"] == (
        "python benchmarks/memory.py unroll --num_steps=1,10,100 "
        "--batch_size=1024")
    rows = document["results"]
    assert [row["met"] for row in rows] == [True, True, False, "-", "-", "-"]
    assert rows[1]["weights_bytes"] == 10 * weights

  @pytest.mark.slow
  def test_memory_of_an_unroll(self):
    out = self.folder / "result.json"
    memory.main(["unroll", "--num_steps=1,3", "--batch_size=4", f"--out={out}"])
    rows = json.loads(out.read_text())["results"]
    assert [row["met"] for row in rows] == [True, True, "-", "-"]
    assert rows[3]["temporary_bytes"] > rows[1]["temporary_bytes"]

  def test_steps_of_this_checkout(self):
    options = mock.Mock(width=4, steps=1)
    assert commits.seconds("dm", options) > 0
    without_methods = mock.Mock(spec=[n for n in dir(dd) if n != "methods"])
    without_methods.configure_mock(
        **{name: getattr(dd, name) for name in dd.__all__ if name != "methods"})
    with mock.patch.object(commits, "dd", without_methods):
      assert commits.seconds("dm", options) > 0

  def test_rounds_of_two_checkouts(self):
    out, asked = self.folder / "result.json", []

    def in_checkout(folder, options):
      asked.append(folder)
      return {
          name: 2.0 if folder == "new" else 1.0
          for name in ("import", *commits.WORK)
      }

    with mock.patch.object(commits, "in_checkout", in_checkout):
      commits.main(
          ["--before=old", "--after=new", "--rounds=2", f"--out={out}"])
    rows = json.loads(out.read_text())["results"]
    assert asked == ["new", "old"] * 2
    assert [row["work"] for row in rows] == ["import", *commits.WORK]
    assert {row["after/before"] for row in rows} == {2.0}


# A benchmark of three works; the last one has no bar.
STUB = """
import json, sys
options = dict(argument[2:].split("=") for argument in sys.argv[1:])
rows = [dict(work="a", bar=2, **{"ours/theirs": 1.2}),
        dict(work="b", mine=3, theirs=2),
        dict(work="c", bar="-", **{"ours/theirs": 9.0})]
json.dump(dict(results=rows[:int(options["rows"])]), open(options["out"], "w"))
"""


class CompareTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()))
    (self.folder / "stub.py").write_text(STUB)
    self.enter_context(mock.patch.object(compare, "RESULTS", self.folder))

  def _compare(self, stored: dict, ratio="ours/theirs", **work):
    """Exit code and rows of a comparison with stored ratios, by work."""
    rows = [{"work": work, ratio: share} for work, share in stored.items()]
    (self.folder / "stub_cpu.json").write_text(json.dumps(dict(results=rows)))
    given = dict(command=f"{self.folder}/stub --rows=3", by=("work",))
    stub = compare.Compared(**given | dict(ratio=ratio) | work)
    out = self.folder / "out.json"
    with mock.patch.object(compare, "COMPARED", {"stub": stub}):
      code = compare.main([f"--out={out}"])
    return code, json.loads(out.read_text())["results"]

  @parameterized.parameters((1.0, "ok", 0), (0.95, "worse", 1),
                            (1.6, "better", 0))
  def test_a_ratio_now_and_then(self, stored, verdict, code):
    found, (row,) = self._compare({"a": stored, "c": 1.0})
    assert (found, row["verdict"]) == (code, verdict)
    assert (row["row"], row["stored"], row["now"]) == ("a", stored, 1.2)

  def test_a_quotient_of_columns(self):
    code, (row,) = self._compare({"b": 1.5}, ratio="mine/theirs")
    assert (code, row["row"], row["now"]) == (0, "b", 1.5)
    code, (row,) = self._compare({"b": 0.1}, ratio="1/theirs")
    assert (code, row["now"], row["verdict"]) == (1, 0.5, "worse")

  def test_what_cannot_be_compared(self):
    code, rows = self._compare({"other": 1.0})
    assert code == 1
    assert [row["verdict"] for row in rows] == ["not stored", "failed"]
    for command in ("stub --rows=none", "stub --rows=0"):
      code, (row,) = self._compare({}, command=f"{self.folder}/{command}")
      assert (code, row["verdict"]) == (1, "failed")
    with mock.patch.object(importlib.util, "find_spec", lambda name: None):
      code, (row,) = self._compare({"a": 0.1}, needs="torch")
    assert (code, row["verdict"]) == (0, "PyTorch is not installed")

  def test_every_stored_ratio_is_compared(self):
    results = BENCHMARKS / "results"
    for name, work in compare.COMPARED.items():
      document = json.loads((results / f"{name}_cpu.json").read_text())
      shares = compare.ratios(work, document)
      assert shares and min(shares.values()) > 0, name
      assert (BENCHMARKS / f"{work.command.split()[0]}.py").exists()
    for file in results.glob("*_cpu.json"):
      columns = {
          c for row in json.loads(file.read_text())["results"] for c in row
      }
      if any("/" in column for column in columns):
        assert file.stem.removesuffix("_cpu") in compare.COMPARED


class PanelTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()))

  @pytest.mark.slow
  def test_a_broken_panel_goes_on(self):
    out, settings = self.folder / "panel.json", dict(
        num_steps=2, batch_size=4, recipe=dict(num_epochs=2))
    arguments = [
        "--method=dm", "--members=wine,iris,mnist", "--networks=2",
        f"--out={out}", f"--data_dir={self.folder}",
        f"--workdir={self.folder / 'kept'}",
        f"--settings={json.dumps(settings)}"
    ]
    judged, assess = [], panel.assess

    def stopped(key, made, source, **given):
      judged.append(source)
      if len(judged) == 2:
        raise KeyboardInterrupt
      return assess(key, made, source, **given)

    with mock.patch.object(panel, "assess", stopped):
      with pytest.raises(KeyboardInterrupt):
        panel.main(arguments)
      assert not out.exists()
      panel.main(arguments)
    assert [source.train.num_samples for source in judged] == [71, 60, 60]
    held_out = panel.MEMBERS["iris"](None).validation
    np.testing.assert_array_equal(judged[2].test.inputs, held_out.inputs)
    document = json.loads(out.read_text())
    assert f"--settings={json.dumps(settings)}" in shlex.split(
        document["command"])
    found, *rows = document["results"]
    assert list(found["left_out"]) == ["mnist"] and found["met"] == "-"
    for member, row in zip(("wine", "iris"), rows, strict=True):
      file = self.folder / "kept" / "cells" / member / "validation.json"
      report = json.loads(file.read_text())["report"]
      assert report["num_networks"] == 2
      means = {}
      for name, of in report["baselines"].items():
        assert len(of["per_network"]) == 2
        means[name] = 100 * np.mean(of["per_network"])
      own = 100 * np.mean(report["accuracy"]["per_network"])
      assert (row["member"], row["method"]) == (member, "dm")
      assert {
          name: row[name] for name in panel.BASELINES
      } == pytest.approx(means)
      assert row["accuracy"] == pytest.approx(own)
      assert row["lead"] == pytest.approx(own - max(means.values()), abs=1e-5)
      assert 0 < row["distilling_s"] < row["all_s"]
    sets = list((self.folder / "kept").rglob("set.safetensors"))
    times = [file.stat().st_mtime_ns for file in sets]
    with mock.patch.object(panel.dd, "condense", None):  # the sets are there
      panel.main([*arguments, "--test"])
    assert len(sets) == 2
    assert [file.stat().st_mtime_ns for file in sets] == times
    with pytest.raises(SystemExit) as error:  # another panel's
      panel.main([*arguments, "--seed=2"])
    assert error.value.code == 2

  def test_the_usual_method_of_each_member(self):
    settings = dict(num_steps=2, batch_size=4, recipe=dict(num_epochs=2))
    folder = self.folder / "kept"
    arguments = ["--members=iris", "--networks=2", f"--workdir={folder}"]
    asked = []

    def usual(source, **more):
      asked.append(source.num_classes)
      return dd.methods.dm(**settings, **more)

    def shown(usual):
      with mock.patch("distill_jax.methods.usual",
                      usual), mock.patch.object(condensing, "usual", usual):
        with mock.patch.object(panel.timing, "show") as table:
          panel.main(arguments)
      return table.call_args[0][0][0]

    row = shown(usual)
    assert set(asked) == {3} and row["method"] == "dm"
    assert shown(usual) == row  # nothing is made anew
    (folder / "cells" / "iris" / "validation.json").unlink()
    with pytest.raises(SystemExit):  # the folder's set is of other settings
      shown(partial(usual, learning_rate=0.5))

  @parameterized.parameters(
      ((3.0,) * 15 + (-5.0,), 15, True), ((4.0,) * 14 + (-5.0,) * 2, 14, True),
      ((9.0,) * 13 + (0.0,) * 3, 13, False), ((1.9,) * 16, 16, False),
      ((9.0,) * 15, 15, "-"))
  def test_verdict(self, leads, wins, met):
    rows = [
        dict(member=str(i), lead=lead, all_s=i) for i, lead in enumerate(leads)
    ]
    rows[0]["all_s"] = 301
    found = panel.verdict(rows, {})
    assert found["wins"] == wins and found["slow"] == ["0"]
    assert found["lead"] == pytest.approx(sum(leads) / len(leads))
    assert found["met"] == met

  def test_members(self):
    assert len(panel.MEMBERS) == 16 >= panel.LEAST_WINS
    for name in ("digits", "wine", "breast_cancer", "iris"):
      source = panel.MEMBERS[name](None)
      assert source.validation.num_samples > source.test.num_samples / 2

  def test_images_are_cut_and_changed(self):
    labels = np.arange(60) % 3
    images = np.zeros((60, 4, 4, 3), np.uint8)
    images += np.arange(60, dtype=np.uint8)[:, None, None, None]
    np.savez(
        self.folder / "a.npz",
        x_train=images,
        y_train=labels,
        x_test=images[::-1],
        y_test=labels[::-1])
    arrays = panel.raw_parts(
        self.folder, "npz:a.npz", panel.grey, most=4, classes=(0, 2))
    assert arrays["x_train"].shape == (8, 4, 4, 1)
    assert arrays["x_validation"].shape == (2, 4, 4, 1)
    assert arrays["x_test"].shape == (40, 4, 4, 1)
    for part in ("train", "validation", "test"):
      numbers = arrays[f"x_{part}"][:, 0, 0, 0]  # grey stays grey
      np.testing.assert_array_equal(
          arrays[f"y_{part}"], np.where(numbers % 3 == 2, 1, 0))
    held_out = set(arrays["x_validation"].ravel())
    assert not held_out & set(arrays["x_train"].ravel())

  def test_pixels(self):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_array_equal(
        panel.grey(colours[None, None])[0, 0, :, 0], [76, 150, 29])
    image = np.array([[0, 1, 255, 255], [2, 4, 255, 255]], np.uint8)
    np.testing.assert_array_equal(
        panel.halved(image[None, :, :, None])[0, 0, :, 0], [2, 255])
    wide = np.arange(32 * 32).reshape(1, 32, 32, 1)
    assert panel.centre(wide).shape == (1, 28, 28, 1)
    assert panel.centre(wide)[0, 0, 0, 0] == 2 * 32 + 2

  @parameterized.parameters(
      "--members=minst", "--settings=[]", "--settings={", "--method=dmm",
      '--settings={"steps": 1}', '--settings={"num_steps": 1}', "--per_class=0")
  def test_refused_panels(self, argument):
    with pytest.raises(SystemExit) as error:
      panel.main(["--members=iris", argument])
    assert error.value.code == 2


def test_classes_are_matched_in_the_memory_of_one():
  options = mock.Mock(width=4, samples_per_class=1, batch_size=64)
  small, large = (
      memory.of_matching(num_classes, options) for num_classes in (4, 40))
  batch = 36 * 64 * np.prod(memory.SHAPE) * 4  # of 36 classes more
  assert large - small < batch / 4
