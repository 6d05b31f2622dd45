"""Data of one's own with the configurations of known data sets."""

import launching
import numpy as np
import own_data
import pytest
from absl import flags
from ml_collections import config_flags

from distill_jax import data
from distill_jax.errors import ConfigError
from distill_jax.runs.assess import Settings

PICTURES, TEXTS = "folder:pictures", "csv:a.csv?text=words"


def _settled(name, spec, *fields):
  """The configuration of `--config=NAME FIELDS --data=SPEC`, settled."""
  return own_data.settled(_flag(name, *fields), spec)


def _flag(name, *fields):
  """The flag of `--config=NAME FIELDS`, parsed."""
  argv = ["", f"--config={launching.CONFIGS / name}", *fields]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  values(argv)
  return values["config"]


def test_constants_are_those_of_their_own_data():
  constants = dict(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
  for spec in (None, "npz:elsewhere/cifar10.npz", "tfds:cifar10"):
    config, note = _settled("dsa.py:data=cifar10", spec)
    assert config.preprocessing.to_dict() == constants
    assert config.data == spec or spec is None
    assert not note
  config, note = _settled("dsa.py:data=cifar10", PICTURES)
  assert config.preprocessing == "standardise" and config.data == PICTURES
  assert note == (
      "preprocessing: standardised by mean and std of folder:pictures, not by "
      "those published for npz:cifar10.npz")
  given = "--config.preprocessing.mean=(0.5,0.5,0.5)"
  config, note = _settled("dsa.py:data=cifar10", PICTURES, given)
  assert config.preprocessing.mean == (0.5, 0.5, 0.5) and not note


@pytest.mark.parametrize(
    "name, spec, preprocessing, shaped",
    [("dsa.py", PICTURES, "standardise", True),
     ("dsa.py:network=mlp", PICTURES, "standardise", False),
     ("dsa.py:width=8", PICTURES, "standardise", False),
     ("dsa.py:data=cifar10", PICTURES, "standardise", False),
     ("mtt.py:data=cifar10", PICTURES, "zca", False),
     ("dm.py", TEXTS, "word_vectors", True),
     ("kip.py", TEXTS, "averaged_vectors", False),
     ("tdd.py", TEXTS, "word_vectors", True),
     ("tdd.py", PICTURES, "standardise", True),
     ("dm.py:preprocessing=zca", TEXTS, "zca", True)])
def test_what_data_decide(name, spec, preprocessing, shaped):
  config, _ = _settled(name, spec)
  assert config.preprocessing == preprocessing
  assert (config.network.to_dict() == {}) == shaped


def test_words_have_vectors_of_these_data_alone():
  config, _ = _settled("tdd.py", TEXTS)
  assert config.text.corpora == () and config.text.length == 0
  config, _ = _settled("tdd.py", TEXTS, "--config.text.length=7")
  assert config.text.corpora == () and config.text.length == 7
  config, _ = _settled("tdd.py:data=sst5", TEXTS)
  assert config.text.corpora and config.text.length == 56


def test_networks_are_as_many_as_evaluate_trains():
  known, _ = _settled("dm.py:data=mnist", PICTURES)
  assert known.evaluation.num_networks == 20
  config, _ = _settled("dm.py", PICTURES, "--config.evaluation.num_sets=3")
  usual = Settings(num_sets=3)._asdict()
  assert config.evaluation.to_dict() == {f: usual[f] for f in known.evaluation}


@pytest.mark.parametrize(
    "shape, fields, name, num_steps",
    [((60, 4), (), "sldd", 1_000), ((60, 4, 4, 1), (), "dm", 1_500),
     ((60, 4, 4, 1), ("--config.method.num_steps=7",), "dm", 7)])
def test_the_usual_method(shape, fields, name, num_steps):
  source = data.from_arrays(np.random.rand(*shape), np.arange(60) % 3)
  method = own_data.usual(_flag("dm.py", *fields), source)
  assert (method.name, method.num_steps) == (name, num_steps)
  assert "recipe" not in method or method.recipe.num_epochs  # all that is run


def test_settings_of_another_method_are_refused():
  source = data.from_arrays(np.random.rand(60, 4), np.arange(60) % 3)
  with pytest.raises(ConfigError, match="method.num_steps is given: .* sldd"):
    own_data.usual(_flag("dm.py", "--config.method.num_steps=7"), source)


def test_print_config_shows_the_data(tmp_path):
  result = launching.distil(
      f"--config={launching.CONFIGS / 'dm.py'}:data=mnist", "--print_config",
      f"--data=npz:{tmp_path / 'mine.npz'}")
  assert result.code == 0, result.err
  lines = [line.split() for line in result.out.splitlines()]
  assert f"data = 'npz:{tmp_path / 'mine.npz'}' published 'idx:mnist'".split(
  ) in lines
  assert ["preprocessing", "=", "'standardise'"] in lines


def test_a_table_with_the_configuration_of_images(tmp_path):
  y = np.arange(60) % 3
  x = np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(4)[y]
  np.savez(tmp_path / "mine.npz", x_train=x, y_train=y)
  result = launching.distil(
      f"--config={launching.CONFIGS / 'dm.py'}:ipc=1,num_steps=2",
      f"--data=npz:{tmp_path / 'mine.npz'}", *launching.FEW,
      "--config.evaluation.num_networks=2", "--config.evaluation.num_sets=0",
      "--config.evaluation.networks_per_set=0",
      "--config.evaluation.baselines=random_real",
      "--config.method.recipe.num_epochs=2", f"--workdir={tmp_path / 'run'}")
  assert result.code == 0, result.err
  assert ("a fifth of every class became the test part: 12 of 60" in result.err)
  assert "2 x 1" in result.out  # as many networks as the set has


@pytest.mark.parametrize(
    "options, wanted, note", [(
        "dm.py", 3,
        "3 label rows of each class, not 10: half of the 7 training "
        "samples of 'b'; ipc=N sets another number"), ("dm.py:ipc=10", 10, ""),
                              ("dm.py:ipc=3", 3, ""),
                              ("sldd.py:data=mnist,rows=10", None, "")])
def test_a_small_class_lowers_what_nobody_said(options, wanted, note):
  y = np.repeat(["a", "b"], (20, 9))
  source = data.from_arrays(np.zeros((29, 2)) + np.arange(29)[:, None], y)
  flag = _flag(options)
  config, _ = own_data.settled(flag, PICTURES)
  assert own_data.per_class(flag, config, source) == (wanted, note)
