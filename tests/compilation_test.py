"""Programs are dropped before a process runs out of memory mappings."""

import pathlib

import jax
import numpy as np
import pytest

import distill_jax as dd
from distill_jax import compilation


def _mappings() -> int:
  return compilation._MAPPINGS.read_bytes().count(b"\n")


@pytest.fixture
def few(monkeypatch, tmp_path):
  """A system that allows 1,000 mappings more than are in use."""
  if not compilation._MAPPINGS.exists():
    pytest.skip("a system without such a limit")
  limit = tmp_path / "max_map_count"
  limit.write_text(f"{2 * (_mappings() + 1_000)}\n")
  monkeypatch.setattr(compilation, "_LIMIT", limit)


def test_many_sets_of_one_process(few):
  y = np.arange(24) % 3
  source = dd.from_arrays(np.eye(3)[y] + 0.1 * np.arange(24)[:, None], y)
  method, before = dd.methods.dm(num_steps=20, batch_size=4), _mappings()
  for i in range(9):
    dd.condense(source, method, dd.mlp(3), per_class=1, key=jax.random.key(i))
    assert _mappings() < before + 2_000, i


def test_dropped_where_half_are_in_use(few, monkeypatch):
  assert not compilation.make_room()
  monkeypatch.setattr(compilation, "_SHARE", 0.0)
  assert compilation.make_room()


def test_nothing_happens_without_a_limit(monkeypatch):
  monkeypatch.setattr(compilation, "_LIMIT", pathlib.Path("/nowhere"))
  assert not compilation.make_room()
