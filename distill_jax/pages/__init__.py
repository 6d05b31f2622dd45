"""Reports as pages: one HTML file that needs nothing beside it.

A page asks no network for anything: its style and its pictures are in it, and
there is no script. It opens in any browser, prints, and can be sent by mail.

    dd.pages.write_report("runs/dm")                    # a run, report.html
    dd.pages.write_evaluation(dd.evaluate(made, source), made, "made.html")
    dd.pages.write_comparison(["runs/dm", "runs/mtt"], "both.html")
"""

from distill_jax.pages.comparison import write_comparison
from distill_jax.pages.page import write_evaluation, write_report
from distill_jax.pages.pictures import figures_of

__all__ = ["figures_of", "write_comparison", "write_evaluation", "write_report"]
