"""Chunks of outer steps: spikes, skipped steps, other draws."""

import json
import signal
import sys
import time
from types import SimpleNamespace
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

from distill_jax import environment
from distill_jax.errors import ConfigError, WorkdirError
from distill_jax.methods import NonFinite, steps
from distill_jax.methods.method import Prepared
from distill_jax.methods.steps import chunk_size
from distill_jax.outer_loop import Distiller, Info, State
from distill_jax.runs import driver, sinks
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
  driver.train(_plan(4, skips=True), tmp_path, driver.Watched(log_every=2))
  last = _log(tmp_path)[-1]
  assert last["loss"] == 1 and last["skipped"] == 0.5


def test_a_spike_stops_a_run(tmp_path):
  with pytest.raises(NonFinite, match="not finite at step 4; the"):
    driver.train(_plan(6), tmp_path, driver.Watched(log_every=2))


def test_rolls_back_to_the_last_chunk(tmp_path, capsys):
  driver.train(_plan(6, rollbacks=1), tmp_path, driver.Watched(log_every=2))
  said = capsys.readouterr().err
  assert "not finite at step 4: back to step 2, with other draws (1 of" in said
  log = _log(tmp_path)
  assert [line["step"] for line in log] == [2, 4, 6]
  assert [line["rollbacks"] for line in log] == [0, 1, 1]
  assert all(line["loss"] == 1 for line in log)
  # Goes on with other draws.
  driver.train(_plan(8, rollbacks=1), tmp_path, driver.Watched(log_every=2))
  assert _log(tmp_path)[-1]["rollbacks"] == 1


def test_a_time_limit_stops_with_a_checkpoint(tmp_path, capsys):
  late = driver.Watched(log_every=2, deadline=time.monotonic())
  with pytest.raises(driver.Interrupted, match="at step 2 of 6") as stopped:
    driver.train(_plan(6), tmp_path, late)
  assert stopped.value.signal == signal.SIGTERM
  assert "the time limit" in capsys.readouterr().err
  early = driver.Watched(log_every=2, deadline=time.monotonic() + 1e6)
  driver.train(_plan(6, rollbacks=1), tmp_path, early)
  assert [line["step"] for line in _log(tmp_path)] == [2, 4, 6]


def test_a_checkpoint_that_fails_stops_the_run(tmp_path):
  refusing = mock.patch.object(
      driver.Checkpoints, "save", side_effect=WorkdirError("no space"))
  with refusing, pytest.raises(WorkdirError, match="no space"):
    driver.train(_plan(3), tmp_path, driver.Watched(1))


def test_steps_are_traced(tmp_path, capsys):
  driver.train(_plan(3), tmp_path, driver.Watched(1, profile=2))
  assert capsys.readouterr().err.count("tracing 1 steps") == 2
  assert any((tmp_path / "profile").rglob("*.xplane.pb"))


def test_metrics_go_elsewhere_too(tmp_path):
  seen, ended = [], []

  class Writer:

    def __init__(self, folder):
      assert folder == str(tmp_path / "tensorboard")

    def add_scalar(self, name, value, step):
      seen.append((step, name, value))

    flush = staticmethod(lambda: None)
    close = staticmethod(lambda: ended.append("tensorboard"))

  run = mock.Mock()
  run.finish = lambda: ended.append("wandb")
  wandb = mock.Mock()
  wandb.init.return_value = run
  modules = {
      "tensorboardX": SimpleNamespace(SummaryWriter=Writer),
      "wandb": wandb
  }
  with mock.patch.dict(sys.modules, modules):
    names = sinks.checked("tensorboard,wandb")
    for num_steps in (2, 3):  # the second goes on
      driver.train(_plan(num_steps), tmp_path, driver.Watched(1, metrics=names))
  assert [s for s in seen if s[1] == "loss"
         ] == [(n, "loss", 1) for n in (1, 2, 3)]
  assert [call.kwargs["step"] for call in run.log.call_args_list] == [1, 2, 3]
  assert ended == ["tensorboard", "wandb"] * 2
  first, second = wandb.init.call_args_list
  assert first == second and first.kwargs["resume"] == "allow"


def test_metrics_need_their_package():
  with mock.patch.dict(sys.modules, {"wandb": None}):
    with pytest.raises(ConfigError, match="pip install wandb"):
      sinks.checked("wandb")


def test_chunks_are_a_tenth_of_a_run():
  assert list(map(chunk_size, (1, 9, 40, 2_000))) == [1, 1, 4, 100]


@pytest.mark.parametrize("free", [-1, None])
def test_steps_that_cannot_fit_are_refused_before_they_run(free, tmp_path):
  with mock.patch.object(steps, "free_memory", return_value=free):
    if free is None:  # nothing tells
      driver.train(_plan(2), tmp_path)
      return
    with pytest.raises(ConfigError, match="must fit into memory.*batch_size"):
      driver.train(_plan(2), tmp_path)
  assert not (tmp_path / "metrics.jsonl").exists() or not (
      tmp_path / "metrics.jsonl").read_text()


def test_free_memory_is_told():
  assert environment.free_memory() > 0
  assert environment.in_bytes(3 * 2**29) == "1.5 GiB"
