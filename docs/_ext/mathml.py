"""Equations as MathML, written when the site is built: no script, no server."""

from docutils import nodes
from docutils.utils import math
from docutils.utils.math import latex2mathml
from sphinx.util import logging

_log = logging.getLogger(__name__)


def mathml(tex: str, block: bool) -> str:
  """An equation in TeX as MathML.

  Raises:
    docutils.utils.math.MathError: a command that is not known.
  """
  return latex2mathml.tex2mathml(tex, as_block=block)


def _visit(block):

  def visit(self, node):
    try:
      found = mathml(node.astext(), block)
    except math.MathError as error:
      _log.warning("equation: %s: %s", node.astext(), error, location=node)
      found = node.astext()
    if block:
      names = "".join(f'<span id="{name}"></span>' for name in node["ids"])
      found = f'<div class="equation">{names}{found}</div>'
    self.body.append(found)
    raise nodes.SkipNode

  return visit


def setup(app):
  nothing = lambda self, node: None
  app.add_html_math_renderer(
      "mathml", (_visit(False), nothing), (_visit(True), nothing))
  return {"parallel_read_safe": True, "parallel_write_safe": True}
