"""Options after the colon: types, switches, messages; those of DD and SLDD."""

import importlib

import launching
import options
import pytest

from distill_jax.errors import ConfigError

NAMES = sorted(
  path.stem
  for path in launching.CONFIGS.glob("*.py")
  if path.stem.startswith(("dd_", "sldd_"))
)
OPTIONS = {
  None: {},
  "quick": {},
  "fixed": dict(student_init="fixed", evaluation__num_networks=1),
  "random": dict(student_init="random", evaluation__num_networks=20),
  "images=5,steps=1": dict(num_samples=5, num_steps_per_epoch=1),
  "steps=5": dict(num_steps_per_epoch=5),
  "epochs=7": dict(num_epochs=7),
  "theta=4": dict(num_initialisations=4),
  "quick,fixed,images=20,steps=2,epochs=1": dict(
    num_samples=20, num_steps_per_epoch=2, num_epochs=1, student_init="fixed"
  ),
}


def _config(name, text):
  return importlib.import_module(f"configs.{name}").get_config(text)


@pytest.mark.parametrize("text", OPTIONS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_takes_every_option(name, text):
  config = _config(name, text)
  for path, value in OPTIONS[text].items():
    assert config[path.replace("__", ".")] == value
  assert config.checkpoint_every % config.log_every == 0
  assert config.num_samples % config.num_steps_per_epoch == 0
  assert config.method == name.split("_")[0]
  if "quick" in (text or ""):
    assert config.num_steps <= 100


def test_configurations_are_documented():
  assert len(NAMES) >= 5
  for name in NAMES:
    document = importlib.import_module(f"configs.{name}").__doc__
    assert f"configs/{name}.py" in document
    for option in ("fixed", "random", "images=N", "steps=S", "theta=K"):
      assert option in document, (name, option)


def test_parse():
  chosen = options.parse("a, b=3,c=x=y", a=False, b=1, c="", d=0.5)
  assert vars(chosen) == dict(a=True, b=3, c="x=y", d=0.5)
  assert vars(options.parse("", a=False)) == dict(a=False)


@pytest.mark.parametrize("text, parts", [
  ("z", ["'z'", "unknown", "a, b"]),
  ("b=many", ["'b'", "int", "'many'", "Write b=1"]),
  ("b", ["'b'", "int", "''"]),
  ("a=1", ["'a'", "switch", "'1'"]),
])
def test_parse_refuses(text, parts):
  with pytest.raises(ConfigError) as caught:
    options.parse(text, a=False, b=1)
  for part in ["`--config`", *parts]:
    assert part in str(caught.value)


def test_exclusive():
  options.exclusive(options.parse("a", a=False, b=False), "a", "b")
  with pytest.raises(ConfigError, match="a and b exclude each other"):
    options.exclusive(options.parse("a,b", a=False, b=False), "a", "b")
