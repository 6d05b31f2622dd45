"""Chunks of outer steps: spikes, skipped steps, other draws."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from distill_jax.methods import NonFinite
from distill_jax.methods.method import Prepared
from distill_jax.methods.steps import chunk_size
from distill_jax.outer_loop import Distiller, Info, State
from distill_jax.runs import driver
from distill_jax.types import Distilled


def _plan(num_steps, rollbacks=0, skips=False):
  """A plan whose loss is bad in step 4, unless it was drawn anew."""

  def step(key, state, data):
    del data
    first = jax.random.key_data(key).sum() == 0
    loss = jnp.where(first & (state.step == 3), jnp.inf, 1.0)
    skipped = dict(skipped=1.0 * ~jnp.isfinite(loss)) if skips else {}
    info = Info(loss, loss, jnp.isfinite(loss), skipped)
    return state._replace(step=state.step + 1), info

  set_ = Distilled(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(0))
  return SimpleNamespace(
      keys=SimpleNamespace(run=jax.random.key(0), retry=jax.random.key(1)),
      method=SimpleNamespace(
          parts=None, num_steps=num_steps, spike=10.0, rollbacks=rollbacks),
      prepared=Prepared(data=()),
      start=None,
      outer=Distiller(None, step, lambda state: state.distilled),
      state=State(jnp.zeros((), jnp.int32), set_, (), (), ()))


def _log(folder):
  lines = (folder / "metrics.jsonl").read_text().splitlines()
  return list(map(json.loads, lines))


def test_a_skipped_step_is_no_spike(tmp_path):
  driver.train(_plan(4, skips=True), tmp_path, log_every=2)
  last = _log(tmp_path)[-1]
  assert last["loss"] == 1 and last["skipped"] == 0.5


def test_a_spike_stops_a_run(tmp_path):
  with pytest.raises(NonFinite, match="not finite at step 4; the"):
    driver.train(_plan(6), tmp_path, log_every=2)


def test_rolls_back_to_the_last_chunk(tmp_path, capsys):
  driver.train(_plan(6, rollbacks=1), tmp_path, log_every=2)
  said = capsys.readouterr().err
  assert "not finite at step 4: back to step 2, with other draws (1 of" in said
  log = _log(tmp_path)
  assert [line["step"] for line in log] == [2, 4, 6]
  assert [line["rollbacks"] for line in log] == [0, 1, 1]
  assert all(line["loss"] == 1 for line in log)
  # Goes on with other draws.
  driver.train(_plan(8, rollbacks=1), tmp_path, log_every=2)
  assert _log(tmp_path)[-1]["rollbacks"] == 1


def test_chunks_are_a_tenth_of_a_run():
  assert list(map(chunk_size, (1, 9, 40, 2_000))) == [1, 1, 4, 100]
