"""The launcher of applications, as far as it goes without any work."""

import launching
import pytest

from distill_jax.applications import NAMES


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
  commands = [(
      f"--config={launching.CONFIGS / 'applications' / name}.py",
      "--print_config", f"--data={spec}")
              for name in NAMES
              for spec in ("folder:pictures", "csv:notes?text=text")]
  return launching.elsewhere(
      "apply", *commands, cache=tmp_path_factory.mktemp("cache"))


def test_other_data_never_have_the_constants_of_the_configuration(shown):
  for images, texts in zip(shown[::2], shown[1::2], strict=True):
    assert (images.code, texts.code) == (0, 0), (images.err, texts.err)
    assert "data = 'folder:pictures'" in images.out
    assert "preprocessing = 'standardise'" in images.out
    assert "preprocessing = 'word_vectors'" in texts.out
