"""The common look of all figures, and writing them to files."""

import importlib.util
import io
import textwrap
from typing import Any

from distill_jax import storage
from distill_jax.errors import plain
from distill_jax.types import FilePath

DPI = 150
# The colours of Okabe and Ito, which colour-blind readers can tell apart. Their
# yellow is left out, as it is hard to see on white.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
# Ten colours of classes, after Petroff, "Accessible Color Sequences for Data
# Visualization", 2021, arXiv 2107.02270.
CLASSES = (
    "#3F90DA", "#FFA90E", "#BD1F01", "#94A4A2", "#832DB6", "#A96B59", "#E76300",
    "#B9AC70", "#717581", "#92DADD")
MARKERS = "osD^vPX<"  # one more than colours, so pairs repeat late
PALE, GREY, DARK = "#B8B8B8", "#666666", "#222222"


def can_draw() -> bool:
  """Whether matplotlib is installed."""
  return importlib.util.find_spec("matplotlib") is not None


def colour(i: int) -> str:
  """Returns colour i >= 0; colours repeat after the last one."""
  return COLOURS[i % len(COLOURS)]


def marker(i: int) -> str:
  """Returns marker i >= 0; markers repeat after the last one."""
  return MARKERS[i % len(MARKERS)]


def save(figure, path: FilePath) -> None:
  """Writes a figure to a PNG file at 150 dots per inch.

  The file is replaced atomically: it is either the old or the new one, never
  incomplete.

  Args:
    figure: a matplotlib `Figure`.
    path: path of the file. Its folder must exist.
  """
  storage.replace(path, png(figure))


def png(figure) -> bytes:
  """Returns a matplotlib `Figure` as the bytes of a PNG file."""
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=DPI)
  return content.getvalue()


def figure(width: float, height: float, layout: Any = "constrained"):
  """Returns an empty `Figure`, in inches, which pyplot does not know of."""
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def dress(axes, grid: str):
  """Gives axes the common look: two spines and a pale grid below the data.

  Args:
    axes: the axes.
    grid: axis of the grid lines, "x", "y" or "both".
  """
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(labelsize=9)
  axes.set_axisbelow(True)
  axes.grid(axis=grid, color="#E6E6E6", linewidth=0.8)


def entitle(figure, title: str):
  """Writes the title of a figure, wrapped to its width; none for ""."""
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
  """Writes a grey note above axes that says how to read them; none for "".

  Args:
    axes: the axes below the note.
    figure: the figure that the axes are part of.
    text: the note; it is wrapped.
    share: largest width of the note, as a fraction of the figure's width.
  """
  if text:
    width = share * figure.get_size_inches()[0]
    lines = wrapped(text, int(13 * width))
    axes.set_title("\n".join(lines), fontsize=8.5, color=GREY, parse_math=False)


def legend(figure, **options):
  """Draws a legend below all panels, without mathematics in its labels."""
  found = figure.legend(loc="outside lower center", frameon=False, **options)
  for text in found.get_texts():
    text.set(text=plain(text.get_text()), parse_math=False)
  return found


def name_ticks(axis, names, most: int = 36, **style):
  """Writes names at 0, 1, ... of an axis, without mathematics in them.

  Args:
    axis: `axes.xaxis` or `axes.yaxis`.
    names: the names.
    most: number of characters after which a name is cut off.
    **style: style of the texts, for matplotlib.
  """
  short = [plain(name, most) for name in names]
  axis.set_ticks(range(len(short)), short, parse_math=False, **style)


def foot(figure, text: str):
  """Writes a grey note below all panels, wrapped to the figure's width."""
  width = figure.get_size_inches()[0]
  figure.supxlabel(
      "\n".join(wrapped(text, int(13 * width))),
      fontsize=8.5,
      color=GREY,
      parse_math=False)


def wrapped(text: str, width: int) -> list[str]:
  """Breaks a text into lines of at most `width` characters.

  It is broken at spaces, but never between a number and its percent sign.
  """
  lines = (
      plain(line, 600).replace(" %", "\u00a0%") for line in text.split("\n"))
  return [
      part.replace("\u00a0", " ")
      for line in lines
      for part in textwrap.wrap(line, width, break_on_hyphens=False)
  ]
