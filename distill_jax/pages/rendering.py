"""Templates become pages, in which every text from elsewhere is escaped."""

from distill_jax import storage
from distill_jax._version import __version__
from distill_jax.pages import content
from distill_jax.types import FilePath


def write(path: FilePath, template: str, **values) -> None:
  """Writes a page atomically.

  Args:
    path: of the file; its folder exists.
    template: name of a file of `templates`.
    **values: that it shows.

  Raises:
    OSError: the file could not be written; an older one is untouched.
  """
  page = _environment().get_template(template).render(
      version=__version__, **values)
  storage.replace(path, page.encode("utf-8", "replace"))


def _environment():
  """With all that templates call; a name that is missing is an error."""
  import jinja2  # light, but of no use to those who never write a page

  environment = jinja2.Environment(
      loader=jinja2.PackageLoader("distill_jax.pages"),
      autoescape=True,
      undefined=jinja2.StrictUndefined,
      trim_blocks=True,
      lstrip_blocks=True)
  environment.filters |= dict(
      percent=content.percent,
      with_error=content.with_error,
      duration=content.duration,
      commas="{:,}".format)
  return environment
