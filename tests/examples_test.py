"""The sets that come with the library: small, sound, and with their reports."""

import hashlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import distill_jax as dd
from distill_jax import models
from distill_jax.errors import ConfigError

_FOLDER = Path(dd.examples.__file__).parent
# First digits of the SHA-256 of each file: what a report speaks of.
_FILES = {
    "cifar10_1": "acc61bb01453cbd3",
    "digits_1": "1229dfe8a6006bc3",
    "fashion_mnist_10": "fe672d483a565703",
    "mnist_10": "59ae01b09fb29852"
}


def test_all_are_here_and_small():
  assert dd.examples.names() == [*_FILES]
  files = [*_FOLDER.glob("*.safetensors"), *_FOLDER.glob("*.json")]
  assert len(files) == 2 * len(_FILES)
  assert sum(file.stat().st_size for file in files) <= 300_000


@pytest.mark.parametrize("name", _FILES)
def test_a_set_is_the_one_that_its_report_measured(name):
  content = (_FOLDER / f"{name}.safetensors").read_bytes()
  assert hashlib.sha256(content).hexdigest()[:16] == _FILES[name]
  made, report = dd.examples.load(name), dd.examples.report(name)
  assert made.quantisation == report["quantisation"]
  assert made.storage_bytes == report["storage_bytes"]
  assert made.provenance["fingerprint"] == report["data"]["fingerprint"]
  assert report["num_samples"] == made.num_samples
  assert f"examples/{name}.safetensors" in report["command"]
  assert report.mean > report["baselines"]["random_real"]["mean"]
  assert "distilled set" in str(report)


@pytest.mark.parametrize("name", _FILES)
def test_a_set_is_learned_and_says_how(name):
  made = dd.examples.load(name)
  settings = made.provenance["method"]
  assert settings["num_steps"] > 100 and settings["learning_rate"] > 0
  assert len(made.provenance["made_by"]) == 2
  for known in (made.provenance, dd.examples.report(name)):
    assert not re.search(r"(?<![\w.])/\w", json.dumps(known))  # a whole path


def test_a_set_is_evaluated_in_a_call():
  made, test = dd.examples.load("digits_1"), dd.read("digits").test
  network = models.from_spec(made.network, num_classes=10)
  report = dd.evaluate_set(
      jax.random.key(0), made, test, network=network, num_networks=2)
  expected = dd.examples.report("digits_1").mean
  np.testing.assert_allclose(report.accuracy.mean(), expected, atol=0.05)


def test_an_unknown_name_is_refused():
  for call in (dd.examples.load, dd.examples.report):
    with pytest.raises(ConfigError, match="`name` must be one of .*digits_1"):
      call("digits")
