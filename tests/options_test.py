"""Options after the colon: types, switches, messages."""

import pytest

from distill_jax.commands import options
from distill_jax.errors import ConfigError


def test_parse():
  chosen = options.parse("a, b=3,c.d=x=y", a=False, b=1, d=0.5, **{"c.d": ""})
  assert vars(chosen) == {"a": True, "b": 3, "c.d": "x=y", "d": 0.5}
  assert vars(options.parse("a=false,b=1,b=2", a=True, b=0)) == dict(
      a=False, b=2)
  assert options.nested({
      "a.b": 1,
      "a.c": 2,
      "d": 3
  }) == dict(
      a=dict(b=1, c=2), d=3)
  assert options.named("a,b=3") == {"a", "b"}


@pytest.mark.parametrize(
    "text, parts", [("abcf", ["'abcf'", "Did you mean 'abcd'?"]),
                    ("b=many", ["'b'", "int", "'many'", "Write b=1"]),
                    ("b", ["'b'", "int", "''"]),
                    ("abcd=1", ["'abcd'", "switch", "'1'"])])
def test_parse_refuses(text, parts):
  with pytest.raises(ConfigError) as caught:
    options.parse(text, abcd=False, b=1)
  for part in ["`--config", *parts]:
    assert part in str(caught.value)


def test_settings_are_json_python_or_text():
  given = ["a=1", "b.c=true", "b.d=False", "e=[1, 2]", "f=(3,)", "g=x=y", "a=2"]
  assert options.settings(given) == dict(
      a=2, b=dict(c=True, d=False), e=[1, 2], f=(3,), g="x=y")


@pytest.mark.parametrize(
    "given, said", [(["a"], "NAME=VALUE; got 'a'"), (["=1"], "NAME=VALUE"),
                    (["a=1", "a.b=2"], "'a.b' must not be set")])
def test_settings_that_make_no_sense(given, said):
  with pytest.raises(ConfigError, match=said):
    options.settings(given)


def test_a_recipe_has_the_fields_that_are_given():
  assert options.recipe("dsa:num_epochs=3") == dict(name="dsa", num_epochs=3)
  assert options.recipe("dsa") == dict(name="dsa")
  with pytest.raises(ConfigError, match="num_epochs"):
    options.recipe("dsa:num_epoch=3")
