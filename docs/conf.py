"""The documentation site: `make docs` writes it to docs/_build/html.

Pages are Markdown that reads well without the site too. `_ext` holds what makes
a site of them: pages and notebooks from elsewhere in the repository, the API
reference, and equations as MathML, which needs no server.
"""

import configparser
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

_setup = configparser.ConfigParser()
_setup.read(ROOT / "setup.cfg")

project = "distill_jax"
author = "the authors of distill_jax"
copyright = author  # the name that Sphinx reads
repository_url = _setup["metadata"]["url"]  # the one place of the address

extensions = [
    "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
    "myst_nb", "sphinx_copybutton", "sphinx_design", "brought", "docstrings",
    "mathml", "reference"
]

exclude_patterns = ["_build", "results/**", "figures/**"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_theme_options = {
    "source_repository": repository_url,
    "source_branch": "main",
    "source_directory": "docs/",
    "navigation_with_keys": True
}
pygments_style = "friendly"
smartquotes = False  # values of settings are in straight quotes
highlight_language = "none"  # `docstrings` tells shell and Python apart

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # shown with the outputs that they are stored with
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

autodoc_typehints = "none"  # docstrings give shapes, which types do not
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # those of other libraries have no shapes
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 72

nitpicky = True
# Types of other libraries, and errors named in `Raises:` without their module.
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r".*")]
linkcheck_anchors = False
linkcheck_ignore = [rf"{repository_url}/.*"]  # this repository's own files
