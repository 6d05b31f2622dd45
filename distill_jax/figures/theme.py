"""The common look of the figures, and how one is written."""

import importlib.util
import io
import textwrap
from typing import Any

from distill_jax import storage
from distill_jax.errors import plain
from distill_jax.types import FilePath

DPI = 150
# Okabe and Ito's colours, which differ to colour-blind readers too, but for
# their yellow, which is hard to see on white.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
# Ten colours of classes, after Petroff, "Accessible Color Sequences for Data
# Visualization", 2021, arXiv 2107.02270.
CLASSES = (
    "#3F90DA", "#FFA90E", "#BD1F01", "#94A4A2", "#832DB6", "#A96B59", "#E76300",
    "#B9AC70", "#717581", "#92DADD")
MARKERS = "osD^vPX<"  # one more than colours: pairs repeat late
PALE, GREY, DARK = "#B8B8B8", "#666666", "#222222"


def can_draw() -> bool:
  """Whether matplotlib is installed."""
  return importlib.util.find_spec("matplotlib") is not None


def colour(i: int) -> str:
  """The i-th of the colours, which repeat."""
  return COLOURS[i % len(COLOURS)]


def marker(i: int) -> str:
  """The i-th of the markers, which repeat."""
  return MARKERS[i % len(MARKERS)]


def save(figure, path: FilePath) -> None:
  """Writes a PNG atomically: the old file or the new one, never a part.

  Args:
    figure: a matplotlib `Figure`.
    path: of the file; its folder exists.
  """
  storage.replace(path, png(figure))


def png(figure) -> bytes:
  """The bytes of a PNG file of a matplotlib `Figure`."""
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=DPI)
  return content.getvalue()


def figure(width: float, height: float, layout: Any = "constrained"):
  """A figure of its own, in inches, with no pyplot behind it."""
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def dress(axes, grid: str):
  """The common look: two spines, a pale grid behind the data."""
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(labelsize=9)
  axes.set_axisbelow(True)
  axes.grid(axis=grid, color="#E6E6E6", linewidth=0.8)


def entitle(figure, title: str):
  """The title of a figure, broken to its width; "" for none."""
  if title:
    width = figure.get_size_inches()[0]
    lines = wrapped(title, int(10 * width))
    figure.suptitle(
        "\n".join(lines),
        fontsize=11,
        weight="bold",
        color=DARK,
        parse_math=False)


def note(axes, figure, text: str, share: float = 1.0):
  """A grey line above some axes that says how they are read; "" for none.

  Args:
    axes: where it stands.
    figure: of the axes.
    text: what it says.
    share: of the figure's width that it takes at most.
  """
  if text:
    width = share * figure.get_size_inches()[0]
    lines = wrapped(text, int(13 * width))
    axes.set_title("\n".join(lines), fontsize=8.5, color=GREY, parse_math=False)


def legend(figure, **options):
  """A legend below the panels, its names as they are written."""
  found = figure.legend(loc="outside lower center", frameon=False, **options)
  for text in found.get_texts():
    text.set(text=plain(text.get_text()), parse_math=False)
  return found


def name_ticks(axis, names, most: int = 36, **style):
  """Names along an axis, as they are written, of so many characters."""
  short = [plain(name, most) for name in names]
  axis.set_ticks(range(len(short)), short, parse_math=False, **style)


def foot(figure, text: str):
  """A grey note below the panels."""
  width = figure.get_size_inches()[0]
  figure.supxlabel(
      "\n".join(wrapped(text, int(13 * width))),
      fontsize=8.5,
      color=GREY,
      parse_math=False)


def wrapped(text: str, width: int) -> list[str]:
  """Its lines, broken at spaces to so many characters."""
  return [
      part for line in text.split("\n") for part in textwrap.wrap(
          plain(line, 600), width, break_on_hyphens=False)
  ]
