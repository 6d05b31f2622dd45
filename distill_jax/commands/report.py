"""`distill-jax report`: writes HTML pages of runs."""

import importlib
import shlex

import click

from distill_jax.commands.computing import reading

_ONE = "RUN"  # the hidden command that reports one run
_RUN = click.Path(exists=True, file_okay=False)


class _OneOrMany(click.Group):
  """A group whose first word may be a folder; then it reports that run."""

  def parse_args(self, ctx, args):
    if args and args[0] not in self.commands and not args[0].startswith("-"):
      runs = [arg for arg in args if not arg.startswith("-")]
      if len(runs) > 1:
        raise click.UsageError(
            f"RUN must be one folder; got {len(runs)}. To compare them: "
            f"{ctx.command_path} compare {shlex.join(runs)}", ctx)
      args = [_ONE, *args]
    return super().parse_args(ctx, args)


@click.group(
    cls=_OneOrMany, subcommand_metavar="RUN | compare RUN RUN ... [--out FILE]")
def report() -> None:
  """Writes the page of a RUN, or one that compares several.

  RUN is the folder of a run.

  \b
  Examples: distill-jax report runs/digits_dm_1
            distill-jax report compare runs/digits_dm_1 runs/digits_dsa_1
  """


@report.command(_ONE, hidden=True)
@click.argument("run", type=_RUN)
@reading
def one(run) -> None:
  """Writes the page of one RUN."""
  print(f"written to {_pages().write_report(run)}")


@report.command()
@click.argument("runs", nargs=-1, required=True, type=_RUN, metavar="RUN...")
@click.option(
    "--out",
    default="compare.html",
    type=click.Path(dir_okay=False),
    help="File of the page; compare.html by default.")
@reading
def compare(runs, out) -> None:
  """Writes a page that compares several runs.

  Example: distill-jax report compare runs/digits_dm_1 runs/digits_dsa_1
  """
  print(f"written to {_pages().write_comparison(list(runs), out)}")


def _pages():
  return importlib.import_module("distill_jax.pages")
