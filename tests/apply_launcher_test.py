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
  wrong = (*commands[0], "--config.settings.maker=dm")
  fields = (
      commands[0][0].replace(NAMES[0], "privacy"), "--print_config",
      '--config.settings.network={"name": "convnet", "width": 8}',
      "--config.settings.dp_sgd=None")
  folder = tmp_path_factory.mktemp("work")
  absent = (commands[0][0], "--data=csv:nofile", f"--workdir={folder}")
  return launching.elsewhere("apply", *commands, fields, wrong, absent)


def test_other_data_never_have_the_constants_of_the_configuration(shown):
  for images, texts in zip(shown[:-3:2], shown[1:-3:2], strict=True):
    assert (images.code, texts.code) == (0, 0), (images.err, texts.err)
    assert "data = 'folder:pictures'" in images.out
    assert "preprocessing = 'standardise'" in images.out
    assert "preprocessing = 'word_vectors'" in texts.out


def test_a_misspelt_setting_is_told_how_settings_begin(shown):
  *_, wrong, absent = shown
  assert wrong.code == 2 and "got maker, not `makers`" in wrong.err, wrong.err
  assert "begin with settings.; --print_config lists them." in wrong.err
  assert absent.code == 2, absent.err
  assert "error: `--data` must name what exists" in absent.err, absent.err


def test_settings_without_a_default_are_flags(shown):
  told = shown[-3].out
  assert "settings.network.width = 8" in told, told
  assert "settings.dp_sgd = None" in told, told
