"""Which language a block of code is in, that does not say so itself."""

import ast
import re
import textwrap

_COMMANDS = re.compile(
    r"\s*(\w+=\S+ )*(python|pip|make|git|cd|srun|gcloud|distill-jax|\$)\b")


def language(code: str) -> str:
  """Of a block that does not say what it is: python, sh or none."""
  if _COMMANDS.match(code):
    return "sh"
  try:
    found = ast.parse(textwrap.dedent(code)).body
  except SyntaxError:
    return "none"
  kinds = ast.Assign, ast.Import, ast.ImportFrom, ast.With, ast.FunctionDef
  calls = any(
      isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
      for node in found)
  return "python" if calls or any(
      isinstance(node, kinds) for node in found) else "none"
