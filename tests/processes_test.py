"""Two processes that do one run."""

import contextlib
import io
import os
import socket
import subprocess
import sys
from unittest import mock

import compiling
import pytest
from absl.testing import parameterized

from distill_jax import processes, storage
from distill_jax.errors import ConfigError
from distill_jax.runs.files import MetricsLog

# Given: the folder of the run and, of two processes, where they meet and which
# one this is.
RUN = """
import sys

import numpy as np

import distill_jax as dd
from distill_jax import devices, processes

folder, *meeting = sys.argv[1:]
if meeting:
  where, number = meeting
  assert processes.join(where, 2, int(number))
first = processes.is_first()
assert processes.largest(3 * first) == 3
x = np.random.default_rng(4).normal(size=(30, 6)).astype(np.float32)
source = dd.from_arrays(x, np.arange(30) % 3, test_fraction=0.5)
method = dd.methods.dm(num_steps=4, batch_size=4, recipe=None)
network = {"name": "mlp", "widths": (4,)}
with devices.on_devices(), devices.watching_shares() as shares:
  report = dd.Run(
      folder, source, method, network, per_class=1, figures=False,
      evaluation=dict(num_networks=2, num_sets=1, baselines=""),
      log_every=1).go()
assert shares == ({"classes": 3, "networks of the evaluation": 2}
                  if meeting else {})
print("accuracy", report["accuracy"]["mean"])
"""


def _here(folder):
  """The last line of a run in this process."""
  said = io.StringIO()
  with (mock.patch.object(sys, "argv", ["run", str(folder)]),
        contextlib.redirect_stdout(said)):  # fmt: skip
    exec(RUN, {})
  return said.getvalue().splitlines()[-1]


def _start(folder, *meeting):
  return subprocess.Popen([sys.executable, "-c", RUN,
                           str(folder), *meeting],
                          env=os.environ | {
                              "JAX_PLATFORMS": "cpu",
                              "XLA_FLAGS": compiling.FLAGS
                          },
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True)


def _said(process):
  said = process.communicate(timeout=300)[0]
  assert process.returncode == 0, said
  return said.strip().splitlines()[-1]


def test_two_processes_do_what_one_does(tmp_path):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    where = f"localhost:{free.getsockname()[1]}"
  together = [_start(tmp_path / "two", where, str(i)) for i in (0, 1)]
  expected = _here(tmp_path / "one")
  assert [_said(process) for process in together] == [expected] * 2
  two, one = [[line["loss"]
               for line in MetricsLog.read(tmp_path / name)]
              for name in ("two", "one")]
  assert len(one) == 4
  assert two == pytest.approx(one, rel=1e-5)
  names = [{
      str(file.relative_to(tmp_path / name))
      for file in (tmp_path / name).rglob("*")
  }
           for name in ("two", "one")]
  assert names[0] == names[1]


def test_who_only_reads_changes_nothing(tmp_path):
  file = tmp_path / "file"
  storage.replace(file, b"first")
  with mock.patch.object(storage._Own, "writes", False):
    storage.replace(file, b"second")
    storage.append(file, "third")
    storage.remove(file)
    with storage.alone(tmp_path), storage.turns(file):
      pass
  assert [*tmp_path.iterdir()] == [file] and file.read_bytes() == b"first"


class JoinTest(parameterized.TestCase):

  @parameterized.parameters((("localhost:1", None, 0), "given together"),
                            (("localhost", 2, 0), "must be HOST:PORT"),
                            (("localhost:1", 2, 2), "got 2 of 2"),
                            (("localhost:1", 2, -1), "got -1 of 2"))
  def test_errors(self, given, message):
    with pytest.raises(ConfigError, match=message):
      processes.join(*given)

  def test_alone(self):
    with mock.patch.dict(os.environ, {"SLURM_STEP_NUM_TASKS": "1"}):
      assert not processes.join()
    assert not processes.join("localhost:1", 1, 0)
    assert processes.is_first() and processes.largest(2) == 2
    processes.wait()
