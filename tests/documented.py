"""Code and commands of the documentation, as all tests find them."""

import argparse
import ast
import contextlib
import functools
import importlib
import io
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
from click.testing import CliRunner
from languages import language

from distill_jax.commands.main import program

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"(?:<!-- ([\w.]+)[^>]*-->\n)?^```(\S*)\n(.*?)^```", re.M | re.S)
# Placeholders, which readers replace by names of their own.
_CAPITALS = re.compile(r"\b(METHOD|NAME|SHELL|FIELD|TARGET)\b|\bmine\b")


def text_of(path: Path) -> str:
  return path.read_text(encoding="utf-8")


def without_blocks(text: str) -> str:
  """Markdown without fenced blocks and indented ones."""
  return re.sub(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+", "", FENCE.sub("", text))


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
  """Marker, language and code of every block, in order."""
  text = text_of(page)
  fenced = [(m.start(), m[1] or "", m[2], m[3]) for m in FENCE.finditer(text)]
  hidden = FENCE.sub(lambda m: "\n" * len(m[0]), text)
  plain = [(m.start(), "", "", m[0])
           for m in re.finditer(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+", hidden)]
  for _, marker, name, code in sorted(fenced + plain):
    if not name:
      code = textwrap.dedent(code)
    yield marker, name or language(code), code


def commands(page: Path) -> list[list[str]]:
  """Words of every line of a shell block that runs or installs something.

  Comments, variables before a command and brackets of what may be left out are
  not among them.
  """
  lines = []
  for _, name, code in blocks(page):
    if name == "sh":
      lines += re.sub(r"\\\n\s*", " ", code).splitlines()
  return [*filter(None, map(_words, lines))]


def commands_of_sentences(page: Path) -> list[list[str]]:
  """The same for commands in the sentences of a page."""
  text = without_blocks(text_of(page))
  return [*filter(None, map(_words, re.findall(r"`([^`]+)`", text)))]


def targets(makefile: str) -> set[str]:
  """What `make` can be asked for by name."""
  return {*re.findall(r"^([a-z][a-z-]*):", makefile, re.M)}


def mistake(words: list[str]) -> str:
  """What is wrong with a command of this repository; "" if nothing is.

  Nothing is run: its program exists, and takes these options.
  """
  name, *rest = [re.sub(r"=\.\.\.$", "=1", word) for word in words]
  if name == "make":
    return _made_up({*rest}, targets(text_of(ROOT / "Makefile")))
  if name == "distill-jax":
    return _of_click(rest)
  if name != "python" or rest[0] == "-c":
    return ""
  if rest[0] == "-m":
    return _of_argparse(rest[1], rest[2:])
  file = ROOT / rest[0]
  if not file.exists():
    return f"there is no {rest[0]}"
  if file.parent.name == "benchmarks":
    return _of_argparse(file.stem, rest[1:])
  if file.parent.name == "experiments":
    return _of_flags(file, rest[1:])
  return ""


def _words(line: str) -> list[str]:
  line = re.sub(r"^\s*(\w+=\S+ |srun )+", "", line).strip()
  if not re.match(r"(python|pip|make|distill-jax) ", line):
    return []
  words = [w.removeprefix("[") for w in shlex.split(line, comments=True)]
  words = [w.removesuffix("]") if "[" not in w else w for w in words]
  return words[:words.index("|")] if "|" in words else words


def _made_up(names: set[str], known: set[str]) -> str:
  wrong = {name for name in names - known if not _CAPITALS.search(name)}
  return f"unknown: {', '.join(sorted(wrong))}" if wrong else ""


def _of_click(words: list[str]) -> str:
  """Parses the words; paths need not exist."""
  # Placeholders that would not parse: RUN is the name of a hidden command.
  real = {"SHELL": "bash", "RUN": "run"}
  words = [real.get(word, word) for word in words]
  anything = mock.patch.object(
      click.Path, "convert", lambda self, value, *rest: value)
  without_work = mock.patch.object(click.Command, "invoke", return_value=None)
  with anything, without_work:
    done = CliRunner().invoke(program, words)
  return done.output if done.exit_code else ""


class _Parsed(Exception):
  pass


def _of_argparse(module: str, words: list[str]) -> str:
  """Parses the words as the program does, which then ends."""
  parse = argparse.ArgumentParser.parse_args
  whole_names = functools.partialmethod(
      argparse.ArgumentParser.__init__, allow_abbrev=False)

  def parsed(parser, arguments=None, namespace=None):
    parse(parser, arguments, namespace)
    raise _Parsed

  said = io.StringIO()
  parsers = argparse.ArgumentParser
  try:
    with (mock.patch.object(parsers, "parse_args",
                            parsed), mock.patch.object(parsers, "__init__",
                                                       whole_names),
          contextlib.redirect_stderr(said)):  # fmt: skip
      importlib.import_module(module).main(words)
  except _Parsed:
    return ""
  except SystemExit:
    return said.getvalue()
  return "the program has no options"


def _of_flags(file: Path, words: list[str]) -> str:
  """Launchers share no process, so their flags are read, not parsed."""
  given = set()
  for word in words:
    name, _, value = word.removeprefix("--").partition("=")
    if name == "config":
      config = value.partition(":")[0]
      if not _CAPITALS.search(config) and not (ROOT / config).exists():
        return f"there is no {config}"
    if word != "...":
      given.add("config" if name.startswith("config.") else name)
  return _made_up(given, _flags(file))


@functools.cache
def _flags(file: Path) -> set[str]:
  """Flags that a launcher defines, or a module beside it that it imports."""
  found, seen, left = set(), set(), {file}
  while left:
    seen.add(here := left.pop())
    for node in ast.walk(ast.parse(text_of(here))):
      if isinstance(node, ast.Call) and node.args:
        called = getattr(node.func, "attr", "")
        if called.startswith("DEFINE_"):
          found.add(ast.literal_eval(node.args[0]))
      names = [a.name for a in node.names] if isinstance(node,
                                                         ast.Import) else []
      left |= {
          here.with_name(f"{name}.py")
          for name in names
          if here.with_name(f"{name}.py").exists()
      } - seen
  return found
