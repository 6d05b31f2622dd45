"""A folder of pictures of two classes, one rare, from files to table."""

import json

import launching
import numpy as np
import pytest
from PIL import Image

SIDE, COMMON, RARE = 8, 60, 20


def _tissue(generator, dense: bool):
  """Pink ground with violet spots, more of them where it is dense."""
  image = np.full((SIDE, SIDE, 3), (225, 170, 200), float)
  image += generator.normal(0, 8, image.shape)
  for y, x in generator.integers(0, SIDE - 1, (12 if dense else 4, 2)):
    image[y:y + 2, x:x + 2] = (90, 40, 120)
  return Image.fromarray(image.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
  """A folder with train and test, classes `benign` and (rare) `tumour`."""
  root = tmp_path_factory.mktemp("slides")
  generator = np.random.default_rng(0)
  for part, share in (("train", 1.0), ("test", 0.5)):
    for name, num in (("benign", COMMON), ("tumour", RARE)):
      folder = root / part / name
      folder.mkdir(parents=True)
      for i in range(int(share * num)):
        _tissue(generator, name == "tumour").save(folder / f"{i:03}.png")
  return root


def test_two_classes_of_unequal_size(slides, tmp_path):
  config = launching.CONFIGS / "dm.py"
  result = launching.distil(
      f"--config={config}:data=cifar10,quick,ipc=2,width=4,start=noise,recipe=dc",
      f"--data=folder:{slides}", *launching.FEW, "--config.network.depth=1",
      "--config.figures=true", "--config.method.batch_size=32",
      "--config.method.num_steps=4", "--config.method.recipe.num_epochs=1",
      "--config.method.strategy=", "--config.evaluation.baselines=random_real",
      f"--workdir={tmp_path}/run")
  assert result.code == 0, result.err
  assert "4 samples" in result.out
  # A tenth of the 20 is for validation.
  assert (
      "a step draws 32 real samples of each class; smaller classes are drawn "
      "whole, with repeats: tumour (18)") in result.err
  assert result.err.count("drawn whole") == 1
  assert "standardised by mean and std of folder:" in result.err
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert report["majority_rate"] == 0.75
  assert report["baselines"]["random_real"]["num_samples"] == 4
  assert (tmp_path / "run" / "figures" / "samples.png").exists()
