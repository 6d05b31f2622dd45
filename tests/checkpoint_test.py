"""Checkpoints: bit-exact, atomic under SIGKILL, damage passed over."""

import errno
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging

from distill_jax import storage
from distill_jax.checkpoint import Checkpoints
from distill_jax.errors import WorkdirError
from distill_jax.outer_loop import State, learn
from distill_jax.types import Distilled

_CHILD = """
import sys
import jax.numpy as jnp
from distill_jax.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
step = 0
while True:
  step += 1
  checkpoints.save(step, {"x": jnp.full((300_000,), step)}, {"step": step})
  print(step, flush=True)
"""


def _state(fill=0.1, shape=(2, 3)):
  distilled = Distilled(
      codes=jnp.full(shape, fill),
      labels=jnp.array([[jnp.pi, -0.0]], jnp.bfloat16),
      raw_step_sizes=jnp.zeros((0,)))
  optimizer = learn(codes=optax.adam(0.1))
  objective = {
      "key": jax.random.key(3),
      "keys": jax.random.split(jax.random.key(4, impl="rbg"), 2),
      "host": np.arange(3, dtype=np.int8),
      "on": jnp.array(True)
  }
  state = optimizer.init(distilled)
  return State(jnp.int32(7), distilled, state, objective, ())


def _bits(tree):

  def bits(x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      return str(jax.random.key_impl(x)), np.asarray(jax.random.key_data(x))
    return str(x.dtype), x.shape, np.asarray(x).tobytes()

  return jax.tree.map(bits, tree)


def _damage(path):
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)


def test_restore_is_bit_exact(tmp_path):
  checkpoints = Checkpoints(tmp_path / "a" / "b")
  assert checkpoints.latest_step() is None
  state = _state()
  checkpoints.save(7, state, {"seconds": 1.5})
  again = Checkpoints(tmp_path / "a" / "b")
  assert again.latest_step() == 7 and again.extra(7) == {"seconds": 1.5}
  restored = again.restore(7, _state(fill=0.0))
  chex.assert_trees_all_equal_structs(restored, state)
  chex.assert_trees_all_equal(_bits(restored), _bits(state))
  same_class = lambda a, b: isinstance(a, np.ndarray) == isinstance(
      b, np.ndarray)
  assert all(jax.tree.leaves(jax.tree.map(same_class, restored, state)))


def test_the_oldest_are_forgotten(tmp_path):
  checkpoints = Checkpoints(tmp_path, keep=2)
  for step in (5, 10, 2_000_000_000):
    checkpoints.save(step, {"x": jnp.float32(step)})
  assert len(list(tmp_path.iterdir())) == 2
  assert checkpoints.latest_step() == 2_000_000_000
  assert checkpoints.restore(10, {"x": jnp.float32(0)})["x"] == 10


def test_a_damaged_newest_is_passed_over(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  like = {"x": jnp.zeros(())}
  for step in (1, 2):
    checkpoints.save(step, {"x": jnp.float32(step)})
  one, two = sorted(tmp_path.iterdir())
  _damage(two)
  with mock.patch.object(logging, "warning") as warning:
    assert checkpoints.restore(2, like)["x"] == 1
  assert warning.call_count == 1
  with pytest.raises(WorkdirError, match="`step` must have a sound"):
    checkpoints.extra(2)
  one.write_bytes(one.read_bytes()[:40])
  with pytest.raises(WorkdirError, match="step 2: .*checksum.*step 1: not a"):
    checkpoints.restore(2, like)
  with pytest.raises(WorkdirError, match="up to step 0; got .* with none"):
    checkpoints.restore(0, like)


def test_sound_is_that_very_step_or_nothing(tmp_path):
  checkpoints, like = Checkpoints(tmp_path), {"x": jnp.zeros(())}
  for step in (1, 2):
    checkpoints.save(step, {"x": jnp.float32(step)})
  assert checkpoints.sound(2, like)["x"] == 2
  one, two = sorted(tmp_path.iterdir())
  two.rename(tmp_path / "step_000000003.safetensors")
  with mock.patch.object(logging, "warning") as warning:
    assert checkpoints.sound(2, like) is None
    assert checkpoints.sound(3, like) is None
    assert checkpoints.restore(3, like)["x"] == 1
  assert "it is of step 2" in str(warning.call_args)
  _damage(one)
  with mock.patch.object(logging, "warning"):
    assert checkpoints.sound(1, like) is None


@pytest.mark.parametrize(
    "like, message",
    [(
        _state(shape=(2, 4)),
        r"codes is float32 \(2, 4\) and .* float32 \(2, 3\)"),
     (
         _state()._replace(tracked=(jnp.zeros(()),)),
         r"tracked\[0\] is .* has none"),
     (_state()._replace(objective=()), r"objective\['host'\] is absent"),
     (
         _state()._replace(
             objective=_state().objective |
             {"key": jax.random.key_data(jax.random.key(3))}),
         r"objective\['key'\] is uint32 \(2,\) and .* \(2,\) threefry2x32")])
def test_the_state_of_another_run_is_refused(tmp_path, like, message):
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, _state())
  with pytest.raises(WorkdirError, match=message):
    checkpoints.restore(1, like)


def test_a_full_disk_leaves_the_states_before(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, {"x": jnp.float32(1)})
  full = OSError(errno.ENOSPC, "No space left on device")
  with mock.patch.object(os, "fsync", side_effect=full):
    with pytest.raises(WorkdirError, match="step 2 .*No space left"):
      checkpoints.save(2, {"x": jnp.float32(2)})
  assert [p.name for p in tmp_path.iterdir()] == ["step_000000001.safetensors"]


def test_bad_arguments(tmp_path):
  with pytest.raises(ValueError, match="`keep` must be at least 1; got 0"):
    Checkpoints(tmp_path, keep=0)
  (tmp_path / "file").touch()
  with pytest.raises(WorkdirError, match="`directory` must be a folder"):
    Checkpoints(tmp_path / "file")


def test_sigkill_during_saves(tmp_path):
  child = subprocess.Popen([sys.executable, "-c", _CHILD, tmp_path],
                           stdout=subprocess.PIPE,
                           text=True)
  try:
    for _ in range(3):
      child.stdout.readline()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".step_*.partial")):  # caught in the act
      assert time.monotonic() < deadline and child.poll() is None
  finally:
    child.send_signal(signal.SIGKILL)
    child.wait()
  checkpoints = Checkpoints(tmp_path)
  assert not list(tmp_path.glob(".*"))
  latest = checkpoints.latest_step()
  assert latest >= 3 and checkpoints.extra(latest) == {"step": latest}
  like = {"x": jnp.zeros((300_000,), jnp.int32)}
  with mock.patch.object(logging, "warning") as warning:
    restored = checkpoints.restore(latest, like)["x"]
  assert warning.call_count == 0 and (restored == latest).all()


def test_what_hostile_states_say_is_cut(tmp_path):
  checkpoints, like = Checkpoints(tmp_path), {"x": jax.random.key(0)}
  checkpoints.save(1, like)
  path = next(tmp_path.iterdir())
  tensors, document = storage.read(path)
  del document["sha256"]
  for changes in dict(step="\0" * 999), dict(keys={"['x']": "x\n" * 999}):
    storage.write(path, tensors, document | changes)
    with pytest.raises(WorkdirError, match="must ") as caught:
      checkpoints.restore(1, like)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 300 + len(str(tmp_path))


def test_a_file_without_metadata_is_damaged(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, {"x": jnp.float32(1)})
  path = next(tmp_path.iterdir())
  path.write_bytes(storage.safetensors.numpy.save({"x": np.zeros(1)}))
  with pytest.raises(WorkdirError, match="no metadata"):
    checkpoints.restore(1, {"x": jnp.float32(1)})
