"""The scaling benchmark counts and projects what it says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import scaling

OPTIONS = SimpleNamespace(
    project_teraflops=10.0, project_link=1.0, project_memory=80.0)


def test_a_pass_of_one_image_is_counted_by_hand():
  """3x3 convolutions: two operations for each weight and pixel."""
  width, side = 8, 16
  network = scaling._network(10, width, side)
  convolutions = 2 * 9 * width * (3 * side**2 + width * (side // 2)**2)
  counted = scaling.forward_flops(network, side)
  assert convolutions < counted < 1.5 * convolutions


def test_projection_follows_its_limits():
  work = dict(before=3.6e16, steps=100, of_step=1e12, seen=10, rows=10)
  one = scaling.projection("dm", work, 1, OPTIONS, 0.1)
  assert one["limit"] == "compute"  # 1e12 operations at 1e12 a second
  np.testing.assert_allclose(one["step_ms"], 1e3)
  np.testing.assert_allclose(one["hours"], 10 + 100 / 3600)
  many = scaling.projection("dm", work, 10**6, OPTIONS, 0.1)
  assert many["limit"] == "gradients"
  np.testing.assert_allclose(
      many["step_ms"], 1e3 * 2 * 4 * 10 * scaling.PIXELS / 1e9)
  small = SimpleNamespace(**vars(OPTIONS) | dict(project_memory=1.0))
  slow = dict(work, seen=10**8)
  assert scaling.projection("dm", slow, 1, small, 0.1)["limit"] == "host"


def test_every_method_has_its_work():
  works = scaling.works()
  assert set(works) == {"dm", "tgdd", "rded"}
  dm = works["dm"]
  assert dm["before"] == 0 and dm["seen"] == 256_000
  each = dm["of_step"] / (1_000 * (256 + 30))
  np.testing.assert_allclose(
      each, scaling.forward_flops(scaling._network(1_000, 128, 64), 64))


def test_in_small(tmp_path, monkeypatch):
  monkeypatch.setattr(
      scaling, "BASE", dict(classes=3, per_class=1, width=2, side=8))
  out = tmp_path / "scaling.json"
  scaling.main([
      f"--out={out}", "--rounds=1", "--seconds=0", "--batch_size=2",
      "--classes=4", "--per_class=1", "--width=2", "--side=8",
      "--project_devices=1,8"
  ])
  rows = json.loads(out.read_text())["results"]
  assert [row.get("classes") for row in rows[:2]] == [3, 4]
  assert rows[1]["forward_passes"] == 4 * (2 + 3)
  projected = [row for row in rows if "hours" in row]
  assert len(projected) == 6
  with pytest.raises(SystemExit):
    scaling.main(["--classes=0"])
