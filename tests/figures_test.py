"""Figures: drawn for every edge case, whole, not overlapping, no global state.
"""

import subprocess
import sys

import numpy as np
import pytest
from absl.testing import parameterized
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from distill_jax import figures

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


class SampleGridTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("one", 1, (28, 28, 1), DIGITS, None, True),
      ("one_of_two_classes", 1, (8, 8, 3), ("no", "yes"), None, False),
      ("five_steps_of_one", 5,
       (8, 8, 1), LONG, 5, False), ("wide", 7, (4, 16, 3), DIGITS, None, True),
      ("tall", 12,
       (16, 4, 1), LONG, 6, False), ("many", 50, (4, 4, 1), LONG, None, False),
      ("a_hundred", 100, (32, 32, 3), LONG, 10, True),
      ("a_hundred_steps", 103, (4, 4, 1), LONG, 103, False))
  def test_is_whole_and_legible(self, num, shape, names, steps, start):
    figure = figures.sample_grid(
        _noise(num, *shape),
        10 * _labels(num, names),
        names,
        start=_noise(num, *shape, seed=2) if start else None,
        order=np.arange(num).reshape(steps, -1) if steps else None,
        title="A title that is quite long " * 3)
    _check_whole(figure)
    pictures = _boxes(figure, AxesImage)
    assert len(pictures) == num * (1 + start)
    boxes = pictures + _boxes(figure, Text)
    for i, box in enumerate(boxes):
      assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
      assert not any(_overlap(box, other) for other in boxes[:i])

  def test_two_classes_with_one_output(self):
    figure = figures.sample_grid(
        _noise(3, 4, 4, 1), np.array([[0.9], [-0.2], [0.0]]), ("no", "yes"))
    shown = [text for text in _texts(figure) if ": " in text[:5]]
    assert shown == ["yes: 0.9", "no: 0.1", "no: 1.2", "yes: -0.2", "no: 1.0"]

  @parameterized.parameters((20, 3), (21, 2), (51, 1))
  def test_largest_values_come_first(self, num, lines):
    labels = np.tile([0.5, 2.04, -3.0, 1.0], (num, 1))
    figure = figures.sample_grid(_noise(num, 2, 2, 1), labels, list("abcd"))
    shown = [text for text in _texts(figure) if text[1] == ":"]
    assert shown == ["b: 2.0", "d: 1.0", "a: 0.5"][:lines] * num

  def test_zeros_are_left_out(self):
    labels = np.eye(4) + 0.25 * np.eye(4)[1]
    figure = figures.sample_grid(_noise(4, 2, 2, 1), labels, list("abcd"))
    shown = [text for text in _texts(figure) if text[1] == ":"]
    assert shown == [
        "a: 1.0", "b: 0.2", "b: 1.2", "c: 1.0", "b: 0.2", "d: 1.0", "b: 0.2"
    ]

  def test_hard_labels_are_names(self):
    figure = figures.sample_grid(_noise(4, 2, 2, 1), np.eye(4), list("abcd"))
    assert [text for text in _texts(figure) if len(text) == 1] == list("abcd")

  def test_long_names_end_in_an_ellipsis(self):
    figure = figures.sample_grid(_noise(10, 4, 4, 1), np.ones((10, 4)), LONG)
    assert any(t.startswith("aero") and "…: 1.00" in t for t in _texts(figure))
    assert "cat: 1.00" in _texts(figure)

  def test_one_symmetric_range_for_all_pictures(self):
    # Of 1,200 pixels 2 % are at 2 either side, and 2 single ones far outside.
    images = np.zeros((3, 20, 20, 1))
    images[1, :12, 0], images[2, :12, 0] = -2, 2
    images[1, 19, 0], images[2, 19, 0] = 50, -50
    figure = figures.sample_grid(images, np.eye(3), list("abc"))
    shown = [a.get_array()[:, 0, 0] for a in figure.findobj(AxesImage)]
    np.testing.assert_allclose([a[0] for a in shown], [0.5, 0, 1])
    np.testing.assert_allclose([a[19] for a in shown], [0.5, 1, 0])
    assert any("-2.00 to 2.00" in text for text in _texts(figure))

  def test_order(self):
    images = np.arange(4.0)[:, None, None, None] * np.ones((4, 2, 2, 1))
    figure = figures.sample_grid(
        images, np.eye(4), list("abcd"), order=[[2, 0], [3, 1]])
    greys = [a.get_array()[0, 0, 0] for a in figure.findobj(AxesImage)]
    np.testing.assert_array_equal(np.argsort(greys), [1, 3, 0, 2])
    assert "steps 1–2" in _texts(figure)

  @parameterized.named_parameters(
      ("features", dict(images=np.ones((2, 5))), "`images` must be images"),
      ("channels", dict(images=np.ones((2, 4, 4, 2))), "C = 1 or 3"),
      ("none", dict(images=np.ones((0, 4, 4, 1))), "`images` must be images"),
      ("nan", dict(images=np.full((2, 4, 4, 1), np.nan)), "must be finite"),
      ("labels", dict(labels=np.eye(3)), "for 2 samples"),
      ("names", dict(class_names=("a",)), "must have 3 names; got 1"),
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

  def test_curves_without_accuracy(self):
    figure = figures.curves([dict(step=0, loss=1.0), dict(step=1, loss=0.5)])
    assert len(figure.axes) == 1 and figure.axes[0].get_xlabel()

  def test_accuracy_against(self):
    rows = [
        dict(num_samples=m, mean=0.5, std=0.1, label="SLDD, random")
        for m in (100, 1, 10)
    ]
    rows.append(dict(num_samples=5, mean=0.25, std=None, label="DD"))
    figure = figures.accuracy_against(rows, full_data=0.9)
    _check_whole(figure)
    axes = figure.axes[0]
    lines = [line.get_xydata() for line in axes.lines if line.get_marker()]
    assert any(np.array_equal(x, [(1, 50), (10, 50), (100, 50)]) for x in lines)
    assert axes.get_xscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "SLDD, random", "DD", "all real data: 90.0 %",
        "90 % of all real data: 81.0 %"
    ]

  def test_accuracy_against_bytes(self):
    rows = [dict(bytes=b, mean=0.5, std=0.1, label="DM") for b in (784, 78_400)]
    figure = figures.accuracy_against(rows, "bytes")
    _check_whole(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "size of the set"
    assert axes.get_ylim() == (30, 103)  # 50 +- 10 fills it
    rows = [dict(bytes=b, mean=0.96, label=f"{b} bytes") for b in (1, 2, 3, 4)]
    figure = figures.accuracy_against(rows, "bytes", full_data=0.99)
    _check_whole(figure)
    assert figure.axes[0].get_ylim() == (80, 103)  # 90 % of 99 is drawn
    figure = figures.accuracy_against(rows, "bytes")  # a legend of one line
    _check_whole(figure)
    figure.canvas.draw()
    assert "10 kB" in [text.get_text() for text in axes.get_xticklabels()]
    with pytest.raises(ValueError, match="`axis` must be"):
      figures.accuracy_against(rows, "weight")

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
    assert legend[:3] == names
    assert ("segment 2" in legend) == (num_sets > 1)

  def test_t_sne_refuses(self):
    few = figures.Points(np.eye(3), np.arange(3))
    one = {"a": few}
    for sets, names in (({}, "abc"), (one, "x" * 21), (one, "abc")):
      with pytest.raises(ValueError, match="must hold"):
        figures.t_sne(few, sets, list(names))

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
    assert rows == ["dc", "dm", "random real"]
    assert columns == ["convnet", "mobilenet_v2"]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[91.5] * 2, [50] * 2, [30] * 2])
    assert {"91.5\n± 2.0", "30.0"} <= set(_texts(figure))
    with pytest.raises(ValueError, match="`sets` must be of the same"):
      figures.transfer_matrix({"dc": networks(0.9), "dm": {}})

  @parameterized.parameters(figures.curves, figures.accuracy_against)
  def test_refuses_nothing(self, draw):
    with pytest.raises(ValueError, match="at least one"):
      draw([])


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
from distill_jax import figures
assert "matplotlib" not in sys.modules
figures.curves([dict(step=0, loss=1.0)])
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
  run = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert run.returncode == 0, run.stderr
