"""Damaged files of every kind are refused in a line, or read right."""

import time

import fuzz
import pytest

from distill_jax.errors import DataError


def test_damaged_files():
  rows, faults = fuzz.fuzz(number=12, seed=0)
  assert not faults, "\n".join(faults)
  assert [row["target"] for row in rows] == list(fuzz.TARGETS)
  assert sum(row["refused"] for row in rows) > 100


def _refuse(content):
  raise DataError("x\n")


def _fail(content):
  raise KeyError(content)


@pytest.mark.parametrize(("read", "said"),
                         [(_refuse, "DataError"), (_fail, "KeyError"),
                          (len, "other content was accepted"),
                          (lambda content: time.sleep(9), "_Hang")])
def test_faults_are_counted(monkeypatch, read, said):
  sound = bytes(99)
  target = fuzz.Target(
      lambda folder: (folder / "a").write_bytes(sound), lambda folder:
      (folder / "a").read_bytes() == sound or read((folder / "a").read_bytes()))
  monkeypatch.setattr(
      fuzz, "TARGETS", {"a": target._replace(exact="bytes fields")})
  monkeypatch.setattr(fuzz, "_SECONDS", 1)
  rows, faults = fuzz.fuzz(number=2, seed=0)
  assert rows[0]["faults"] == len(faults) > 0
  assert all(said in fault for fault in faults)
