"""Data of one's own with the configurations of known data sets."""

import json

import launching
import numpy as np
import own_data
import pytest
from absl import flags
from configs.common import _PARAMETERIZATIONS
from ml_collections import config_flags

from distill_jax import data
from distill_jax.artifact import load
from distill_jax.errors import ConfigError
from distill_jax.runs.assess import Settings
from distill_jax.runs.sizes import per_class_of

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
     ("usual.py", "csv:digits.csv?text=words", "word_vectors", True),
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
  quick, _ = _settled("dm.py:quick", PICTURES)
  assert quick.evaluation.num_networks == 2
  known, _ = _settled("dm.py:data=mnist", PICTURES)
  assert known.evaluation.num_networks == 20
  config, _ = _settled("dm.py", PICTURES, "--config.evaluation.num_sets=3")
  usual = Settings(num_sets=3)._asdict()
  assert config.evaluation.to_dict() == {f: usual[f] for f in known.evaluation}


@pytest.mark.parametrize(
    "shape, options, fields, name, num_steps",
    [((60, 4), "", (), "sldd", 300),
     ((60, 4), "", ("--config.method.num_steps=7",), "sldd", 7),
     ((60, 4, 4, 1), ":num_steps=8,recipe=idc", (), "dm", 8),
     ((60, 4, 4, 1), "", ("--config.method.num_steps=7",), "dm", 7)])
def test_the_usual_method(shape, options, fields, name, num_steps):
  source = data.from_arrays(np.random.rand(*shape), np.arange(60) % 3)
  flag = _flag(f"usual.py{options}", *fields)
  method = own_data.usual(flag, own_data.settled(flag, PICTURES)[0], source)
  assert (method.name, method.num_steps) == (name, num_steps)
  if "recipe" in options:
    assert method.recipe.name == "idc"
  assert "recipe" not in method or method.recipe.num_epochs  # all that is run


@pytest.mark.parametrize("name", _PARAMETERIZATIONS)
def test_the_usual_method_with_another_parameterization(name):
  source = data.from_arrays(np.random.rand(60, 4, 4, 1), np.arange(60) % 3)
  flag = _flag(f"usual.py:parameterization.name={name}")
  method = own_data.usual(flag, own_data.settled(flag, PICTURES)[0], source)
  named = _flag(f"dm.py:parameterization.name={name}").value.method
  stored = method.parameterization.to_dict()
  assert stored == named.parameterization.to_dict()
  assert method.clamp == named.clamp


def test_other_data_of_applications():
  name = "applications/robustness.py:data=mnist"
  constants = _flag(name).value.preprocessing
  for spec, wanted in (("idx:/elsewhere/mnist", constants), (PICTURES,
                                                             "standardise")):
    config = own_data.on_other_data(_flag(name), spec, "network")
    assert config.data == spec
    assert str(config.preprocessing) == str(wanted)
  flag = _flag(name, "--config.preprocessing.mean=(0.5,)")
  config = own_data.on_other_data(flag, PICTURES, "network")
  assert config.preprocessing.mean == (0.5,)


def test_settings_of_another_method_are_refused():
  source = data.from_arrays(np.random.rand(60, 4), np.arange(60) % 3)
  flag = _flag("usual.py", "--config.method.covariances=0.1")
  with pytest.raises(ConfigError, match="method.covariances` .* sldd, which"):
    own_data.usual(flag, flag.value, source)
  flag = _flag("usual.py", "--config.method.name=dsa")
  with pytest.raises(ConfigError, match="method.name` must be left out"):
    own_data.usual(flag, flag.value, source)


def test_a_launcher_without_a_configuration(tmp_path):
  """What is told apart: a table, texts, the digits, and no data at all."""
  y = np.arange(60) % 3
  x = np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(4)[y]
  np.savez(tmp_path / "digits.npz", x_train=x, y_train=y)
  words = [["red", "green", "blue"][c] for c in y]
  rows = [f"it is {word} today,{word}" for word in words]
  (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
  few = ("--config.per_class=1", "--config.method.num_steps=2", *launching.FEW)
  common = "--config.log_every=1", "--config.evaluation.baselines="
  for place, (spec, name, network) in enumerate(
      ((f"npz:{tmp_path / 'digits.npz'}", "sldd", "mlp"),
       (f"csv:{tmp_path / 'texts.csv'}?text=text", "tdd", "text_convnet"))):
    folder = tmp_path / f"run{place}"
    command = f"--data={spec}", f"--workdir={folder}", *few, *common
    result = launching.distil(*command)
    assert result.code == 0, result.err
    assert f"method: {name}, " in result.out + result.err
    config = json.loads((folder / "config.json").read_text())["config"]
    assert config["method"]["name"] == name
    assert config["method"]["num_steps"] == 2
    assert load(folder / "distilled.safetensors").network["name"] == network
  result = launching.distil(
      f"--data=npz:{tmp_path / 'digits.npz'}", "--print_config")
  assert result.code == 0 and "method.name = 'sldd'" in result.out, result.err
  digits = _flag("usual.py")
  config, _ = own_data.settled(digits, "digits")
  assert config.network.to_dict() == {} and not config.evaluation.full_data
  result = launching.distil(f"--workdir={tmp_path / 'none'}")
  assert result.code == 2 and "--data=SPEC" in result.err


def test_a_field_that_is_misspelt_without_a_configuration(tmp_path):
  """In a process of its own: flags are defined anew."""
  (result,) = launching.elsewhere(
      "distill",
      ("--data=digits", f"--workdir={tmp_path / 'run'}", "--config.per_clas=3"))
  assert result.code == 2 and "per_clas, not `per_class`" in result.err
  assert "Without --config" in result.err


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


def test_a_class_of_one_sample_says_so():
  y = np.repeat(["a", "b"], (20, 1))
  source = data.from_arrays(np.random.rand(21, 4), y, test_fraction=0)
  assert per_class_of(source) == (
      1, "1 label row of each class, not 10: 'b' has 1 training sample only")
