"""Figures: drawn for every edge case, whole, not overlapping, no global state.
"""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from absl.testing import parameterized
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from distill_jax import artifact, figures, methods, models, preprocessing
from distill_jax.applications import names
from distill_jax.data.features import unchanged
from distill_jax.evaluation import baselines
from distill_jax.figures import theme
from distill_jax.figures.captions import classes_of_rows
from distill_jax.figures.looks import looks
from distill_jax.pages import figures_of
from distill_jax.parameterization import FACTORIES

DIGITS = tuple("0123456789")
LONG = ("aeroplane in the clouds", 24 * "W", "cat", "$x$ + $y$")


def _noise(num, *shape, seed=0):
  return np.random.default_rng(seed).normal(0.4, 2.0, (num, *shape))


def _labels(num, names):
  return np.random.default_rng(1).normal(size=(num, len(names)))


def _boxes(figure, kind):
  """Boxes in pixels of what is visible of a figure that was drawn."""
  shown = [a for a in figure.findobj(kind) if a.get_visible()]
  if kind is Text:
    shown = [a for a in shown if a.get_text()]
  return [a.get_window_extent() for a in shown]


def _overlap(a, b):
  return (
      min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and
      min(a.y1, b.y1) - max(a.y0, b.y0) > 1)


def _check_whole(figure):
  """Draws; nothing of it leaves the canvas."""
  FigureCanvasAgg(figure).draw()
  tight, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
  assert tight.x0 > -0.02 and tight.y0 > -0.02
  assert tight.x1 < width + 0.02 and tight.y1 < height + 0.02


def _texts(figure):
  return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def _note(figure):
  """All texts as one, whatever lines they were broken into."""
  return " ".join(" ".join(_texts(figure)).split())


class SampleGridTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("one", 1, (28, 28, 1), DIGITS, None, True, 1),
      ("one_of_two_classes", 1, (8, 8, 3), ("no", "yes"), None, False, 1),
      ("five_steps_of_one", 5, (8, 8, 1), LONG, 5, False, 5),
      ("wide", 7, (4, 16, 3), DIGITS, None, True, 7),
      ("tall", 12, (16, 4, 1), LONG, 6, False, 12),
      ("many", 50, (4, 4, 1), LONG, None, False, 40),
      ("a_hundred", 100, (32, 32, 3), LONG, 10, True, 40),
      ("a_hundred_steps", 103, (4, 4, 1), LONG, 103, False, 40))
  def test_is_whole_and_legible(self, num, shape, names, steps, start, shown):
    figure = figures.sample_grid(
        _noise(num, *shape),
        10 * _labels(num, names),
        names,
        start=_noise(num, *shape, seed=2) if start else None,
        order=np.arange(num).reshape(steps, -1) if steps else None,
        title="A title that is quite long " * 3)
    _check_whole(figure)
    pictures = _boxes(figure, AxesImage)
    assert len(pictures) == shown * (1 + start)
    boxes = pictures + _boxes(figure, Text)
    for i, box in enumerate(boxes):
      assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
      assert not any(_overlap(box, other) for other in boxes[:i])

  @parameterized.parameters((1, False), (3, True), (12, True))
  def test_a_hundred_classes_are_cut(self, each, start):
    images = _noise(100 * each, 4, 4, 3)
    figure = figures.sample_grid(
        images,
        np.tile(np.eye(100), (each, 1)), [f"class {i}" for i in range(100)],
        start=images if start else None)
    _check_whole(figure)
    rows = {1: 40, 3: 15, 12: 10}[each]
    assert f"the first {rows} of 100" in _note(figure)
    assert ("up to 10 of 12 samples" in _note(figure)) == (each == 12)
    width, height = figure.get_size_inches()
    assert width <= 8.01 and height < 13

  def test_rows_are_classes_and_columns_their_samples(self):
    values = np.arange(6) / 10
    images = values[:, None, None, None] * np.ones((6, 2, 2, 1))
    classes = [2, 0, 2, 0, 2, 0]
    figure = figures.sample_grid(images, np.eye(3)[classes], list("abc"))
    pictures = figure.findobj(AxesImage)
    greys = [a.get_array()[0, 0, 0] for a in pictures]
    np.testing.assert_allclose(greys, [0.1, 0.3, 0.5, 0, 0.2, 0.4], atol=1e-6)
    extents = np.array([a.get_extent() for a in pictures])
    assert len(set(extents[:3, 3])) == len(set(extents[3:, 3])) == 1
    np.testing.assert_allclose(extents[:3, 0], extents[3:, 0])
    names = [t for t in figure.findobj(Text) if t.get_text() in ("a", "c")]
    middle = extents[:, 2:].mean(1)
    np.testing.assert_allclose([t.get_position()[1] for t in names],
                               [middle[0], middle[3]])
    assert "without samples: b." in _note(figure)

  def test_a_class_of_the_largest_label_value_is_said(self):
    soft = np.eye(2) + 0.1
    shown = _note(figures.sample_grid(_noise(2, 2, 2, 1), soft, list("ab")))
    assert "the class of its largest label value" in shown
    hard = _note(figures.sample_grid(_noise(2, 2, 2, 1), np.eye(2), list("ab")))
    assert "largest label" not in hard and "Labels are hard" in hard

  def test_two_classes_with_one_output(self):
    figure = figures.sample_grid(
        _noise(3, 4, 4, 1), np.array([[0.9], [-0.2], [0.0]]), ("no", "yes"))
    shown = [text for text in _texts(figure) if ": " in text[:5]]
    assert shown == ["no: 1.2", "yes: -0.2", "no: 1.0", "yes: 0.9", "no: 0.1"]

  def test_logits_of_two_classes_are_probabilities(self):
    logits = np.log([[3.0], [0.25]])
    figure = figures.sample_grid(
        _noise(2, 4, 4, 1), logits, ("no", "yes"), label_space="logits")
    shown = [text for text in _texts(figure) if ": 0" in text[:6]]
    assert shown == ["no: 0.80", "yes: 0.20", "yes: 0.75", "no: 0.25"]
    assert "label probabilities" in _note(figure)

  @parameterized.parameters(
      ("raw", [[1.5, -0.2, 0.1]], "targets of the cross-entropy", "a: 1.5"),
      ("raw", [[0.5, 0.2, 0.3]], "label probabilities", "a: 0.50"),
      ("probabilities", [[0.5, 0.2, 0.3]], "label probabilities", "a: 0.50"),
      ("logits", [[2.0, 2.0, -9.0]], "label probabilities", "a: 0.50"),
      ("centred", [[0.5, -0.2, -0.3]], "targets of a regression", "a: 0.50"))
  def test_the_figure_says_what_label_values_are(
      self, space, labels, words, value):
    figure = figures.sample_grid(
        _noise(1, 4, 4, 1), np.array(labels), list("abc"), label_space=space)
    assert words in _note(figure) and value in _texts(figure)

  @parameterized.parameters(2, 3)
  def test_centred_labels_of_classes_are_hard(self, num):
    labels = np.eye(num) - 1 / num if num > 2 else np.array([[-0.5], [0.5]])
    figure = figures.sample_grid(
        _noise(num, 4, 4, 1), labels, "abc"[:num], label_space="centred")
    assert "Labels are hard" in _note(figure)
    assert [t for t in _texts(figure) if len(t) == 1] == list("abc"[:num])

  @parameterized.parameters((20, 3), (21, 2), (51, 1))
  def test_largest_values_come_first(self, num, lines):
    labels = np.tile([0.5, 2.04, -3.0, 1.0], (num, 1))
    figure = figures.sample_grid(_noise(num, 2, 2, 1), labels, list("abcd"))
    shown = [text for text in _texts(figure) if text[1:2] == ":"]
    assert shown == ["b: 2.0", "d: 1.0", "a: 0.5"][:lines] * 10

  def test_zeros_are_left_out(self):
    labels = np.eye(4) + 0.25 * np.eye(4)[1]
    figure = figures.sample_grid(_noise(4, 2, 2, 1), labels, list("abcd"))
    shown = [text for text in _texts(figure) if text[1:2] == ":"]
    assert shown == [
        "a: 1.0", "b: 0.2", "b: 1.2", "c: 1.0", "b: 0.2", "d: 1.0", "b: 0.2"
    ]

  def test_hard_labels_are_names(self):
    figure = figures.sample_grid(_noise(4, 2, 2, 1), np.eye(4), list("abcd"))
    assert [text for text in _texts(figure) if len(text) == 1] == list("abcd")

  def test_long_names_end_in_an_ellipsis(self):
    figure = figures.sample_grid(_noise(10, 4, 4, 1), np.ones((10, 4)), LONG)
    assert any(t.startswith("a") and "…: 1.00" in t for t in _texts(figure))
    assert "cat: 1.00" in _texts(figure)

  def test_pixels_are_drawn_as_they_are(self):
    images = np.full((2, 2, 2, 1), 0.25)
    images[1] = 0.5
    figure = figures.sample_grid(images, np.eye(2), list("ab"))
    shown = [a.get_array()[0, 0, 0] for a in figure.findobj(AxesImage)]
    np.testing.assert_allclose(shown, [0.25, 0.5])
    assert "0 is black, 1 is white" in _note(figure)
    assert "clipped" not in _note(figure)

  def test_pixels_outside_are_clipped_and_counted(self):
    images = np.full((2, 2, 2, 1), 0.5)
    images[0, 0], images[1, 1, 1] = -2, 1.5
    figure = figures.sample_grid(images, np.eye(2), list("ab"))
    shown = [a.get_array()[..., 0] for a in figure.findobj(AxesImage)]
    np.testing.assert_allclose(shown[0], [[0, 0], [0.5, 0.5]])
    np.testing.assert_allclose(shown[1], [[0.5, 0.5], [0.5, 1]])
    assert "from -2.00 to 1.50, and 38 % of them are clipped" in _note(figure)

  def test_limits(self):
    images = np.full((1, 2, 2, 3), 3.0)
    figure = figures.sample_grid(images, np.eye(2)[:1], "ab", limits=(1, 5))
    assert figure.findobj(AxesImage)[0].get_array()[0, 0, 0] == 0.5
    assert "each colour from 1 to 5" in _note(figure)

  def test_steps_are_named_and_in_order(self):
    values = np.arange(4.0)[:, None, None, None] / 10
    figure = figures.sample_grid(
        values * np.ones((4, 2, 2, 1)),
        np.eye(2)[[0, 1, 0, 1]],
        list("ab"),
        order=[[2, 3], [0, 3]])
    greys = [a.get_array()[0, 0, 0] for a in figure.findobj(AxesImage)]
    np.testing.assert_allclose(greys, [0.2, 0, 0.3, 0.1], atol=1e-6)
    steps = [t for t in _texts(figure) if "step" in t]
    assert steps == ["step 1", "step 2", "steps 1, 2", "in no step"]

  @parameterized.named_parameters(
      ("features", dict(images=np.ones((2, 5))), "`images` must be images"),
      ("channels", dict(images=np.ones((2, 4, 4, 2))), "C = 1 or 3"),
      ("none", dict(images=np.ones((0, 4, 4, 1))), "`images` must be images"),
      ("nan", dict(images=np.full((2, 4, 4, 1), np.nan)), "must be finite"),
      ("labels", dict(labels=np.eye(3)), "for 2 samples"),
      ("names", dict(class_names=("a",)), "must have 3 names; got 1"),
      ("space", dict(label_space="odds"), "`label_space` must be one of raw"),
      ("limits", dict(limits=(1, 1)), "`limits` must be"),
      ("start", dict(start=np.ones((2, 3, 3, 1))), "`start` must have"))
  def test_refuses(self, changes, message):
    given = dict(
        images=_noise(2, 4, 4, 1), labels=np.ones((2, 3)), class_names="abc")
    with pytest.raises(ValueError, match=message):
      figures.sample_grid(**{**given, **changes})


class ChartsTest(parameterized.TestCase):

  @parameterized.parameters(1, 3, 200)
  def test_curves(self, num):
    log = [
        dict(step=20 * i, loss=2.0 / (1 + i), accuracy=0.25, grad_norm=1)
        for i in range(num)
    ]
    figure = figures.curves(log)
    _check_whole(figure)
    loss, accuracy = figure.axes
    np.testing.assert_allclose(
        loss.lines[0].get_xydata(), [(m["step"], m["loss"]) for m in log])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), 25)
    assert accuracy.get_xlabel() and "%" in accuracy.get_ylabel()

  def test_curves_say_whose_loss_is_drawn(self):
    figure = figures.curves([dict(step=0, loss=1.0)],
                            loss=figures.loss_name(_artifact(np.eye(10))),
                            title="digits by SLDD")
    assert figure.get_suptitle() == "digits by SLDD"
    assert "outer loss of SLDD: cross-entropy on real data" in _texts(figure)
    assert figure.axes[0].get_ylabel() == "outer loss"
    assert figure.axes[0].get_xlabel() == "outer step"

  def test_curves_without_accuracy(self):
    figure = figures.curves([dict(step=0, loss=1.0), dict(step=1, loss=0.5)])
    assert len(figure.axes) == 1 and figure.axes[0].get_xlabel()

  def test_accuracy_against(self):
    rows = [
        dict(num_samples=m, mean=0.5, std=0.1, label="SLDD, random")
        for m in (100, 1, 10)
    ]
    rows.append(dict(num_samples=5, mean=0.25, std=None, label="DD"))
    figure = figures.accuracy_against(rows, full_data=0.9, title="by SLDD, DD")
    _check_whole(figure)
    assert figure.get_suptitle() == "by SLDD, DD"
    assert "± one standard deviation over networks" in _note(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "number of distilled samples"
    lines = [line.get_xydata() for line in axes.lines if line.get_marker()]
    assert any(np.array_equal(x, [(1, 50), (10, 50), (100, 50)]) for x in lines)
    assert axes.get_xscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "SLDD, random", "DD", "trained on all real data: 90.0 %",
        "90 % of the full-data accuracy: 81.0 %"
    ]

  def test_accuracy_against_bytes(self):
    rows = [dict(bytes=b, mean=0.5, std=0.1, label="DM") for b in (784, 78_400)]
    figure = figures.accuracy_against(rows, "bytes")
    _check_whole(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "size of the set"
    assert axes.get_ylim() == (35, 65)  # 50 +- 10 fills it
    rows = [dict(bytes=b, mean=0.96, label=f"{b} bytes") for b in (1, 2, 3, 4)]
    figure = figures.accuracy_against(rows, "bytes", full_data=0.99)
    _check_whole(figure)
    assert figure.axes[0].get_ylim() == (85, 103)  # 90 % of 99 is drawn
    figure = figures.accuracy_against(rows, "bytes")  # a legend of one line
    _check_whole(figure)
    figure.canvas.draw()
    assert "10 kB" in [text.get_text() for text in axes.get_xticklabels()]
    with pytest.raises(ValueError, match="`axis` must be"):
      figures.accuracy_against(rows, "weight")

  def test_looks_differ_and_stay(self):
    labels = [m.make().title for m in methods.ENTRIES.values()]
    labels += [f"random real, as many bytes as {name}" for name in labels[:3]]
    labels += ["random real", "DM, four in one", "DM, pixels", "my own"]
    labels += [figures.row_name(name) for name in FACTORIES]
    found = looks(labels)
    assert list(found) == labels
    pairs = [(look["color"], look["marker"]) for look in found.values()]
    assert len({*pairs}) == len(pairs)
    assert looks(["my own", "DM"])["DM"] == found["DM"]
    # "pixels" alone looks as "DM" does.
    assert looks(["pixels", "DM"])["DM"] == found["DM"]
    assert looks(["random real"])["random real"] == found["random real"]
    pixels, tiles = looks(["DM, pixels", "DM, four in one"]).values()
    assert pixels["color"] == tiles["color"] and pixels != tiles
    colours = {look["color"] for look in looks("abcdefg").values()}
    assert len(colours) == 7  # as many as there are

  def test_names_beside_points_hide_nothing(self):
    rows = [
        dict(minutes=m, mean=mean, std=0.01, label=f"method number {i}")
        for i, (m, mean) in enumerate(((5, 0.5), (5.1, 0.5), (5.2, 0.51),
                                       (9, 0.7), (9, 0.72), (40, 0.8)))
    ]
    rows = [dict(row, kind="teacher's labels") for row in rows]
    rows.append(dict(rows[0], mean=0.4, kind="hard labels"))
    figure = figures.accuracy_against(
        rows, "minutes", levels={"real": 0.45}, named=True)
    _check_whole(figure)
    axes = figure.axes[0]
    texts = [t for t in axes.texts if t.get_text()]
    assert [t.get_text() for t in texts
           ] == [f"method number {i}" for i in range(6)]
    boxes = [t.get_window_extent() for t in texts]
    for i, box in enumerate(boxes):
      assert not any(_overlap(box, other) for other in boxes[:i])
      for row in rows:
        x, y = axes.transData.transform((row["minutes"], 100 * row["mean"]))
        inside = box.x0 < x < box.x1 and box.y0 < y < box.y1
        assert not inside, (texts[i], row)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["teacher's labels", "hard labels", "real: 45.0 %"]

  def test_a_line_leads_to_a_name_that_could_be_of_another_point(self):
    points = {
        "TGDD": (4.6, 0.9606),
        "DM, 3,000 steps": (5.12, 0.9604),
        "DM": (5.85, 0.959),
        "CAFE": (6.6, 0.9505),
        "NCFM": (8.55, 0.959),
        "DSA": (30, 0.962)
    }
    rows = [
        dict(minutes=minutes, mean=mean, std=0.002, label=name)
        for name, (minutes, mean) in points.items()
    ]
    figure = figures.accuracy_against(
        rows, "minutes", levels={"real": 0.93}, named=True)
    _check_whole(figure)
    linked = [t.xy for t in figure.axes[0].texts if not t.get_text()]
    assert linked == [(5.12, 96.04)]

  def test_legends_have_as_many_columns_as_fit(self):
    for length, num in ((3, 4), (20, 2), (55, 1)):
      labels = [f"{i}" * length for i in range(6)]
      rows = [dict(num_samples=5, mean=0.5, label=label) for label in labels]
      figure = figures.accuracy_against(rows)
      _check_whole(figure)
      assert figure.legends[0]._ncols == num, length

  def test_levels_keep_their_numbers_after_long_names(self):
    rows = [dict(num_samples=5, mean=0.5, label="DM")]
    figure = figures.accuracy_against(rows, levels={"real " * 30: 0.45})
    assert figure.legends[0].get_texts()[1].get_text().endswith("…: 45.0 %")

  def test_ticks_of_bytes_are_round_and_apart(self):
    rows = [dict(bytes=b, mean=0.5, label="DM") for b in (88_000, 318_000)]
    figure = figures.accuracy_against(rows, "bytes")
    _check_whole(figure)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()
           ] == ["100 kB", "200 kB", "300 kB"]
    assert axes.get_xlim()[1] < 400_000  # no third of it is empty

  @parameterized.parameters(1, 2, 3)
  def test_t_sne(self, num_sets):
    generator = np.random.default_rng(0)
    centres = 20 * np.eye(3, 5)

    def points(num, groups=None):
      classes = np.arange(num) % 3
      features = centres[classes] + generator.normal(size=(num, 5))
      return figures.Points(features, classes, groups)

    real = points(60)
    sets = {
        "plain": points(6),
        "in segments": points(6,
                              np.arange(6) // 3),
        "third": points(3)
    }
    sets = dict(list(sets.items())[:num_sets])
    names = ["ankle boot", "bag", "pullover"]
    figure = figures.t_sne(real, sets, names)
    _check_whole(figure)
    assert [axes.get_title() for axes in figure.axes] == list(sets)
    background = [axes.collections[0].get_offsets() for axes in figure.axes]
    assert all(np.array_equal(b, background[0]) for b in background)
    # A sample lies among the real ones of its class.
    at = figure.axes[0].collections[1].get_offsets()
    distances = np.linalg.norm(at[:, None] - background[0][None], axis=2)
    np.testing.assert_array_equal(distances.argmin(1) % 3, np.arange(6) % 3)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == "real sample" and set(names) < set(legend)
    assert ("distilled sample" in legend) == (num_sets == 1)
    assert ("distilled, segment 2" in legend) == (num_sets > 1)
    assert figure.axes[0].get_xlabel() == "t-SNE 1 (no unit)"
    assert figure.axes[0].get_ylabel() == "t-SNE 2 (no unit)"
    small, large = figure.axes[0].collections[:2]
    assert 0.5 <= small.get_alpha() and 10 < small.get_sizes()[0] < (
        large.get_sizes()[0] / 2)

  def test_t_sne_of_many_classes_is_cut(self):
    names = [f"class {i} {'x' * i}" for i in range(60)]

    def points(num):
      features = np.random.default_rng(num).normal(size=(num, 4))
      return figures.Points(features, np.arange(num) % 60)

    figure = figures.t_sne(points(240), {"a": points(60)}, names)
    _check_whole(figure)
    assert [len(c.get_offsets()) for c in figure.axes[0].collections
           ] == [80, 20]
    assert "20 of 60" in figure.legends[0].get_title().get_text()

  def test_t_sne_refuses(self):
    few = figures.Points(np.eye(3), np.arange(3))
    for sets in ({}, {"a": few}):
      with pytest.raises(ValueError, match="must hold"):
        figures.t_sne(few, sets, list("abc"))

  def test_accuracy_bars(self):
    report = dict(
        accuracy=dict(mean=0.8, std=0.01),
        baselines=dict(
            random_real=dict(mean=0.6, std=0.05),
            random_real_converged=dict(mean=1.0, std=0.0),
            knn_random=dict(mean=0.7, std=None)),
        full_data_accuracy=0.98)
    figure = figures.accuracy_bars(report)
    _check_whole(figure)
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "random real", "kNN on random real", "distilled",
        "random real, converged"
    ]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches],
                               [60, 70, 80, 100])
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[2] not in colours[:2] and colours[0] == colours[1]
    assert {"80.0 ± 1.0", "70.0", "60.0 ± 5.0"} <= set(_texts(figure))
    assert "whiskers: one standard deviation over networks" in _note(figure)
    bars = axes.collections[0].get_segments()
    lengths = [np.diff(bar[:, 0]).sum() for bar in bars if len(bar)]
    np.testing.assert_allclose(lengths, [10, 2])
    assert "dashed line: trained on all real data, 98.0 %" in _note(figure)

  def test_accuracy_bars_of_equal_networks_have_a_deviation_of_zero(self):
    block = dict(mean=1.0, std=0.0, per_network=[1.0, 1.0])
    figure = figures.accuracy_bars(dict(accuracy=block))
    _check_whole(figure)
    assert "100.0 ± 0.0" in _texts(figure)

  def test_accuracy_bars_of_one_network_have_no_deviation(self):
    one = dict(mean=0.8, std=0.01, per_network=[0.8])
    report = dict(
        accuracy=one,
        baselines=dict(random_real=one),
        network="conv_net",
        data=dict(spec="csv:/data/irises.csv?label=kind"),
        num_samples=1)
    figure = figures.accuracy_bars(report)
    _check_whole(figure)
    assert "±" not in _note(figure)
    assert "irises, 1 sample" in figure.get_suptitle()
    assert figure.axes[0].get_xlabel() == "test accuracy of conv net (%)"
    figure = figures.accuracy_bars(report, title="irises by DM")
    assert figure.get_suptitle() == "irises by DM"

  def test_accuracy_bars_alone(self):
    figure = figures.accuracy_bars(dict(accuracy=dict(mean=1.0, std=0.02)))
    _check_whole(figure)

  def test_transfer_matrix(self):

    def networks(mean):
      block = dict(
          accuracy=dict(mean=mean, std=0.02),
          random_real=dict(mean=0.3, std=None))
      return {"convnet": block, "mobilenet_v2": block}

    figure = figures.transfer_matrix({
        "dc": networks(0.915),
        "dm": networks(0.5)
    })
    _check_whole(figure)
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert rows == ["dc", "dm", "random real data"]
    assert "± one standard deviation over networks" in _note(figure)
    assert figure.get_suptitle() and axes.get_ylabel() == "training set"
    assert columns == ["ConvNet", "MobileNetV2"]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[91.5] * 2, [50] * 2, [30] * 2])
    assert {"91.5\n± 2.0", "30.0"} <= set(_texts(figure))
    with pytest.raises(ValueError, match="`sets` must be of the same"):
      figures.transfer_matrix({"dc": networks(0.9), "dm": {}})
    alone = {"convnet": dict(accuracy=dict(mean=0.5, std=0.0))}
    figure = figures.transfer_matrix({"dm": alone})
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["dm"]

  @parameterized.parameters(figures.curves, figures.accuracy_against)
  def test_refuses_nothing(self, draw):
    with pytest.raises(ValueError, match="at least one"):
      draw([])


class FeatureTableTest(parameterized.TestCase):

  def test_rows_are_samples_and_columns_features(self):
    features = np.array([[1.0, 2e3], [-0.5, 1e6], [0.25, 0]])
    figure = figures.feature_table(
        features,
        np.eye(2)[[1, 0, 1]], ["größer", "$x$"],
        columns=["age", "pay in €"],
        standardised=[[0, 1], [2, -1], [0.5, 0]],
        title="t by DM")
    _check_whole(figure)
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert rows == ["größer", "$x$", "$x$"] and columns == ["age", "pay in €"]
    values = [text.get_text() for text in axes.texts]
    assert values == ["-0.5", "1e6", "1", "2,000", "0.25", "0"]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[2, -1], [0, 1], [0.5, 0]])
    assert "original units" in axes.get_xlabel()
    assert "real mean" in figure.axes[1].get_ylabel().replace("\n", " ")
    assert figure.get_suptitle() == "t by DM"

  def test_features_without_names_are_numbered(self):
    figure = figures.feature_table(
        np.ones((1, 3)), [[0.7]], ("no", "a name that goes on " * 4))
    _check_whole(figure)
    columns = figure.axes[0].get_xticklabels()
    assert [c.get_text() for c in columns] == ["x1", "x2", "x3"]
    assert "label probabilities" in _note(figure)

  def test_many_are_cut(self):
    figure = figures.feature_table(
        _noise(100, 70), np.eye(100), [f"class {i}" for i in range(100)])
    _check_whole(figure)
    assert figure.axes[0].images[0].get_array().shape == (30, 20)
    assert "30 of 100 samples" in _note(figure)
    assert "20 of 70 features" in _note(figure)

  def test_steps(self):
    figure = figures.feature_table(
        np.ones((2, 3)), np.eye(2), list("ab"), order=[[1], [0]])
    rows = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert rows == ["a, step 2", "b, step 1"]

  @parameterized.parameters(
      (np.ones((2, 3, 4)), None, "must be \\[M, D\\]"),
      (np.ones((2, 3)), ["a"], "must name 3 features; got 1"))
  def test_refuses(self, features, columns, message):
    with pytest.raises(ValueError, match=message):
      figures.feature_table(features, np.eye(2), list("ab"), columns=columns)


class SeriesLinesTest(parameterized.TestCase):

  def test_rows_are_classes_in_original_units(self):
    series = _noise(4, 9, 2)
    figure = figures.series_lines(
        series,
        np.eye(3)[[2, 0, 2, 0]], ["größer", "$b$", "c" * 50],
        start=series + 1,
        title="pulses by DM")
    _check_whole(figure)
    assert figure.get_suptitle() == "pulses by DM"
    panels = np.reshape(figure.axes, (2, 2))
    assert panels[0, 0].get_ylabel() == "größer"
    assert panels[1, 0].get_ylabel().endswith("…")
    assert [a.get_title() for a in panels[0]] == ["channel 1", "channel 2"]
    assert panels[1, 1].get_xlabel() == "time step"
    before, after = (line.get_ydata() for line in panels[0, 1].lines[:2])
    np.testing.assert_allclose(after, series[1, :, 1], rtol=1e-6)
    np.testing.assert_allclose(before, series[1, :, 1] + 1, rtol=1e-6)
    assert "without samples: $b$." in _note(figure)
    assert "original units" in _note(figure)

  def test_many_are_cut(self):
    figure = figures.series_lines(
        _noise(700, 4, 5), np.tile(np.eye(100), (7, 1)),
        [f"class {i}" for i in range(100)])
    _check_whole(figure)
    assert len(figure.axes) == 10 * 3 and len(figure.axes[0].lines) == 5
    for words in ("the first 10 of 100", "up to 5 of 7", "first 3 of 5"):
      assert words in _note(figure)

  def test_soft_labels_and_steps_are_named(self):
    figure = figures.series_lines(
        _noise(2, 4, 1), [[1.5], [-0.5]], ("no", "yes"), order=[[1], [0]])
    _check_whole(figure)
    assert {"yes: 1.5, step 2", "no: 1.5, step 1"} <= set(_texts(figure))
    assert "targets of the cross-entropy" in _note(figure)

  def test_refuses(self):
    with pytest.raises(ValueError, match="`series` must be"):
      figures.series_lines(np.ones((2, 3)), np.eye(2), "ab")
    for name in ("start", "channels"):
      with pytest.raises(ValueError, match=f"`{name}` must"):
        figures.series_lines(
            np.ones((2, 3, 1)), np.eye(2), "ab", **{name: np.ones((2, 2))})


class WordsTest(parameterized.TestCase):

  def test_sentences_stand_by_class_with_their_steps(self):
    figure = figures.decoded_sentences([["one", "$1$"], ["two"]],
                                       np.array([[0.8], [0.1]]), ("no", "yes"),
                                       order=[[0], [1]],
                                       title="questions by TDD, 2 samples")
    _check_whole(figure)
    texts = _texts(figure)
    assert texts[0] == "questions by TDD, 2 samples"
    assert texts[-4:] == [
        "no: 0.90   yes: 0.10   step 2", "two", "yes: 0.80   no: 0.20   step 1",
        "one $1$"
    ]
    assert "label probabilities" in _note(figure)

  def test_as_many_of_each_class_as_fit(self):
    labels = np.eye(2)[[0] * 20 + [1] * 20]
    words = [[f"w{i}"] for i in range(40)]
    texts = _texts(figures.decoded_sentences(words, labels, ("no", "yes")))
    assert [t for t in texts if t[0] == "w"
           ] == [f"w{i}" for i in (*range(6), *range(20, 26))]
    assert any("12 of 40 sentences" in text for text in texts)

  @parameterized.parameters(1, 7)
  def test_heat_maps(self, num):
    labels = np.full((num, 1), 1.5)
    figure = figures.heat_maps(
        _noise(num, 5, 4), labels, ("no", "yes"), title="questions by TDD")
    _check_whole(figure)
    assert figure.get_suptitle() == "questions by TDD"
    assert figure.axes[0].get_xlabel() or num > 3
    assert "targets of the cross-entropy" in _note(figure)
    assert ("6 of 7 sentences" in _note(figure)) == (num == 7)


class TitlesTest(parameterized.TestCase):

  @parameterized.parameters(
      (1, 1, "digits by SLDD, 10 samples (1 per class)"),
      (2, 1, "digits by SLDD, 20 samples (2 per class)"),
      (2, 2, "digits by SLDD, 20 samples (2 per class, 2 steps)"))
  def test_data_method_and_size(self, each, steps, title):
    made = _artifact(np.tile(np.eye(10), (each, 1)), steps=steps)
    assert figures.set_title(made) == title

  def test_classes_of_different_sizes(self):
    made = _artifact(np.eye(10)[[0, 0, 1]])
    assert figures.set_title(made) == "digits by SLDD, 3 samples"
    made = _artifact(np.eye(10)[[3]])
    assert figures.set_title(made) == "digits by SLDD, 1 sample (1 per class)"

  def test_names(self):
    own = _artifact(np.eye(10))._replace(method="my_own", provenance={})
    assert figures.method_name(own) == "my_own"
    assert figures.loss_name(own) == "outer loss of my_own"

  @parameterized.parameters(
      ("digits", "digits"), ("idx:/d/mnist/", "MNIST"),
      ("npz:cifar10.npz", "CIFAR-10"), ("fashion_mnist", "Fashion-MNIST"),
      ("tfds:cifar100:3.0.2", "CIFAR-100"), ("tfds:x/y:1", "y:1"),
      ("csv:/d/irises.csv?label=kind", "irises"), ("csv:a.b.csv.gz", "a.b"),
      ("folder:/d/my.pictures", "my.pictures"), ("csv:/d/.csv", ".csv"))
  def test_data_have_proper_names_or_those_of_their_files(self, spec, name):
    assert figures.data_name(spec) == name

  def test_numbered_classes_of_known_data_have_names(self):
    named = figures.class_names("idx:fashion_mnist", DIGITS)
    assert (len(named), named[0],
            named[-1]) == (10, "T-shirt/top", "ankle boot")
    assert figures.class_names("idx:mnist", DIGITS) == DIGITS
    assert figures.class_names("npz:cifar10.npz", ["0", "1"]) == ("0", "1")

  @parameterized.parameters(
      ("random_real", "random real"), ("kmeans", "k-means"),
      ("byte_matched_real", "random real, as many bytes"),
      ("real, same bytes", "random real, as many bytes"),
      ("multi formation", "several images in one"), ("my_own", "my own"))
  def test_rows_are_named_in_words(self, name, words):
    assert figures.row_name(name) == words

  @parameterized.parameters(
      ("dm_tiles", "DM, four in one"), ("frepo", "FRePo"),
      ("random_real as dm and idc", "random real, as many bytes as DM and IDC"),
      ("real, bytes of kip", "random real, as many bytes as KIP"),
      ("all_real_50", "all real data, 50 steps"),
      ("dp_sgd_eps0.5", "DP-SGD, ε = 0.5"), ("dm_noise", "DM, from noise"),
      ("byte_matched_real", "random real, as many bytes"),
      ("random_real", "random real"), ("kcentre", "k-centre"),
      ("noised_means_eps8", "noised means, ε = 8"), ("my_own", "my own"))
  def test_makers_are_named_in_words(self, name, words):
    assert names.title(name) == words

  def test_every_network_and_baseline_has_a_name(self):
    for name in models.NAMES:
      assert "_" not in figures.network_name(name)
    for name in baselines.TITLES:
      assert "_" not in figures.row_name(name)

  def test_every_method_has_a_name(self):
    for entry in methods.ENTRIES.values():
      title = entry.make().title
      assert title and "_" not in title


def _artifact(labels, steps=1):
  return artifact.from_samples(
      np.zeros((len(labels), 3)),
      labels,
      class_names=DIGITS,
      preprocessing=unchanged(np.zeros((1, 3))),
      order=np.arange(len(labels)).reshape(steps, -1),
      method="sldd",
      provenance=dict(
          data="digits", title="SLDD", loss="cross-entropy on real data"))


@pytest.mark.parametrize(
    "shape, axis, unit", [((3,), "feature (original units)", "1,020"),
                          ((6, 2), "time step", "value (original units)")])
def test_runs_draw_tables_and_series_in_original_units(shape, axis, unit):
  size = np.ones(shape[-1])
  made = artifact.from_samples(
      np.full((4, *shape), 2.0),
      np.eye(10)[[1, 1, 0, 0]],
      class_names=DIGITS,
      preprocessing=preprocessing.Standardise(1000 * size, 10 * size),
      method="dm",
      provenance=dict(data="csv:/data/blood.csv"))
  figure = dict(figures_of(made, {"baselines": {}}))["samples"]
  assert figure.get_suptitle() == "blood by dm, 4 samples (2 per class)"
  assert {axis, unit} <= set(_texts(figure))
  if len(shape) == 2:
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 1020)


@pytest.mark.parametrize(
    "raw_dtype, mean, std, black_and_white",
    [("uint8", 0.5, 0.2, "0 is black, 1 is white"),
     ("float32", 0.5, 0.2, "0 is black, 1 is white"),
     ("float32", 10.0, 5.0, "0 is black, 20 is white")])
def test_runs_draw_images_in_the_range_of_real_ones(
    raw_dtype, mean, std, black_and_white):
  made = artifact.from_samples(
      np.zeros((10, 4, 4, 1)),
      np.eye(10),
      class_names=DIGITS,
      preprocessing=preprocessing.Standardise(
          np.array([mean]), np.array([std])))
  made = made._replace(raw_dtype=raw_dtype)
  drawn = dict(figures_of(made, {"baselines": {}}))
  assert black_and_white in _note(drawn["samples"])


@pytest.mark.parametrize(
    "space, labels", [("centred", [-0.5, 0.4]), ("logits", [-2.0, 0.3]),
                      ("raw", [0.4, 0.6])])
def test_the_class_of_one_column_depends_on_the_label_space(space, labels):
  classes = classes_of_rows(np.array(labels)[:, None], space)
  np.testing.assert_array_equal(classes, [0, 1])


def test_a_confusion_matrix_shows_shares_of_the_true_class():
  counts = 3 * np.eye(30, dtype=int)
  counts[2, 5] = 1
  figure = figures.confusion_matrix(counts, title="Many classes")
  shares = np.asarray(figure.axes[0].images[0].get_array())
  assert shares[0, 0] == 100 and (shares[2, 2], shares[2, 5]) == (75, 25)
  assert {"true class", "predicted class", "1", "30"} <= set(_texts(figure))
  with pytest.raises(ValueError, match="`counts` must be .K, K.; got shape"):
    figures.confusion_matrix(counts[:3])


def test_save_writes_a_png_and_leaves_no_part(tmp_path):
  path = tmp_path / "curves.png"
  path.write_text("an older file")
  figure = figures.curves([dict(step=0, loss=1.0)])
  figures.save(figure, path)
  with Image.open(path) as image:
    assert image.format == "PNG"
    width, height = 150 * figure.get_size_inches()
    assert image.size == (round(width), round(height))
  assert list(tmp_path.iterdir()) == [path]


def test_matplotlib_waits_until_a_figure_and_pyplot_for_ever():
  code = """
import sys
import warnings
from distill_jax import figures
assert "matplotlib" not in sys.modules
figures.curves([dict(step=0, loss=1.0)])
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
  run = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert run.returncode == 0, run.stderr


# Mathematics; a name that legends hide, with what terminals obey; a long one.
HOSTILE = ("$5_$10^{", "_a\tb\n\x1b[31m\udce9", "y" * 5000, " ")


class HostileNamesTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("grid", lambda x, y, n: figures.sample_grid(x, y, n)), (
          "table",
          lambda x, y, n: figures.feature_table(x[:, 0, :, 0], y, n, columns=n)
      ), ("series", lambda x, y, n: figures.series_lines(x[..., 0], y, n)),
      ("sentences", lambda x, y, n: figures.decoded_sentences([n] * 4, y, n)),
      ("heat_maps", lambda x, y, n: figures.heat_maps(x[..., 0], y, n)), (
          "bars", lambda x, y, n: figures.accuracy_bars(
              dict(
                  accuracy=_block(0.5),
                  baselines=dict.fromkeys(n, _block(0.4)),
                  network=n[0]))),
      (
          "sizes", lambda x, y, n: figures.accuracy_against(
              [dict(label=name, num_samples=5, **_block(0.4)) for name in n])),
      (
          "transfer", lambda x, y, n: figures.transfer_matrix({
              n[1]:
                  dict.fromkeys(
                      n, dict(accuracy=_block(0.5), random_real=_block(0.4)))
          })))
  def test_names_are_drawn_plainly(self, draw):
    soft = 0.6 * np.eye(4) + 0.1
    figure = draw(_noise(4, 4, 4, 1), soft, HOSTILE)
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      figure.draw_without_rendering()
    texts = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "\x1b" not in texts and "\udce9" not in texts
    assert "y" * 110 not in texts and "$5" in texts


def _block(mean):
  return dict(mean=mean, std=0.1)


def test_notes_break_before_a_number_not_after_it():
  assert theme.wrapped("and 4 % of them", 5) == ["and", "4 %", "of", "them"]
  assert theme.wrapped("a b\nc", 9) == ["a b", "c"]
