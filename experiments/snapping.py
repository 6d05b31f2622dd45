"""A text set that ends as words: snapped, learned on, and snapped again.

After distilling, each round puts the nearest words in place of the vectors and
learns labels and step sizes anew for them, the words held; between two rounds
the vectors move again. Every part is a run in a folder of its own.
"""

from pathlib import Path

import build
import driver
import jax

from distill_jax.runs.console import say
from distill_jax.text.words import snap

_APART = 2**31 - 2  # from the outer steps, whose numbers are smaller


def train(run, config, folder: Path) -> driver.Outcome:
  """Distils, then snaps `config.snap.rounds` times.

  Args and errors are those of `driver.train`.

  Returns:
    The last part's outcome, with the seconds of all parts and what was measured
    of the first.
  """
  settings = config.snap
  outcomes = [driver.train(run, config, folder)]

  def learn_on(name: str, distilled, *, codes: bool):
    part = config.copy_and_resolve_references()
    part.num_steps = settings.num_steps
    with part.unlocked():
      part.learn_codes = codes
      del part.snap
    again = build.run(part, run.source, start=distilled)
    key = jax.random.fold_in(run.key, _APART)
    again = again._replace(key=jax.random.fold_in(key, len(outcomes)))
    where = folder / "snapped" / name
    where.mkdir(parents=True, exist_ok=True)
    outcomes.append(driver.train(again, part, where))
    return outcomes[-1].distilled

  distilled = outcomes[0].distilled
  for number in range(1, settings.rounds + 1):
    if number > 1:
      distilled = learn_on(f"{number}_vectors", distilled, codes=True)
    say(f"round {number} of {settings.rounds}: words in place of vectors, "
        "learning labels and step sizes for them")
    codes = snap(run.source.preprocessing, distilled.codes)
    distilled = learn_on(
        f"{number}_words", distilled._replace(codes=codes), codes=False
    )
  return outcomes[-1]._replace(
      seconds=sum(outcome.seconds for outcome in outcomes),
      measured=outcomes[0].measured,
  )
