"""Docstrings of the house as reStructuredText, and languages of code.

Docstrings are plain text for `help()`: names in single backticks, formulas and
examples in indented blocks, sections of Google's style. Napoleon knows the
sections `Args` and `Raises`; the rest is made here.
"""

import re
import textwrap

from docutils import nodes
from languages import language

_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):$")
_FIELDS = {
    "Attributes": ":Attributes:",
    "Returns": ":returns:",
    "Yields": ":yields:"
}


def to_rst(lines: list[str]) -> list[str]:
  """A docstring as reStructuredText with sections for napoleon.

  Args:
    lines: of the docstring, without its own indentation.
  """
  lines = textwrap.dedent("\n".join(lines)).splitlines()
  if len(lines) > 1 and _SECTION.match(lines[0]) and lines[1][:1].strip():
    lines[1:] = [f"  {line}" for line in lines[1:]]  # """Attributes:
  made, words, block = [], [], []
  section, listed, after = "", False, True
  for line in [*lines, "end"]:
    indented = line.startswith(" ")
    if block and line and not indented:
      made += [*_inline(words), *_literal(block)]
      words, block = [], []
    if _SECTION.match(line):
      section, listed = line[:-1], False
      title = [".. rubric:: Example", ""
              ] if section == "Example" else [_FIELDS.get(section, line)]
      words += ["", *title]
    elif block or (indented and (section == "Example" or
                                 (after and not section and not listed))):
      block.append(line)
    else:
      if line and not indented:
        section, listed = "", line.startswith("- ")
      elif re.match(r" +[*-] ", line) and not (section or listed):
        words, listed = [*words, ""], True
      words.append(_in_section(line, section))
    after = not line or (after and bool(block))
  return made + _inline(words[:-1])  # without "end"


def _in_section(line, section):
  """A line as an entry of a field, where the section becomes one."""
  if section == "Attributes":
    line = re.sub(r"^  (\w[^:`]*): ?", r"  - `\1`: ", line)
  return f"  {line}" if line and section in _FIELDS else line


def _literal(block):
  code = textwrap.dedent("\n".join(block)).strip("\n")
  return [
      "", f".. code-block:: {language(code)}", "",
      *textwrap.indent(code, "   ").splitlines(), ""
  ]


def _inline(lines):
  """Names in backticks are code, over the end of a line too."""
  parts = re.split(r"(`[^`]+`)", "\n".join(lines))
  for i, part in enumerate(parts):
    if i % 2:
      parts[i] = f"``{part.strip('` ')}``"
      parts[i] += "\\ " * parts[i + 1][:1].isalnum()
    else:
      part = re.sub(r"^( *)\* ", r"\1- ", part, flags=re.M)
      part = re.sub(r"([\\*|`])", r"\\\1", part)
      parts[i] = re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
  return "".join(parts).split("\n")


def _process(app, what, name, thing, options, lines):
  del app, name, options
  of_its_type = what == "data" and thing.__doc__ == type(thing).__doc__
  lines[:] = [] if of_its_type else to_rst(lines)


def _signature(app, what, name, thing, *rest):
  """That of a record is its attributes, in their order."""
  del app, name, rest
  fields = what == "class" and getattr(thing, "_fields", ())
  return ("", None) if fields and "Attributes:" in thing.__doc__ else None


def _languages(app, doctree):
  """Indented blocks of Markdown name no language."""
  del app
  for node in doctree.findall(nodes.literal_block):
    if "language" not in node:
      node["language"] = language(node.astext())


def setup(app):
  app.connect("autodoc-process-docstring", _process, priority=400)
  app.connect("autodoc-process-signature", _signature)
  app.connect("doctree-read", _languages)
  return {"parallel_read_safe": True}
