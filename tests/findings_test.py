"""What a finished set is told about itself, and what users may give as keys."""

import re
import time
import warnings

import jax
import numpy as np
import optax
import pytest

import distill_jax as dd
from distill_jax.errors import ConfigError, DataError
from distill_jax.keys import check_key
from distill_jax.methods.findings import findings
from distill_jax.methods.method import Keys, Store, plan
from distill_jax.objectives.dm import distribution_matching
from distill_jax.runs import console

KEY = jax.random.key(0)


def _source():
  generator = np.random.default_rng(0)
  labels = np.arange(90) % 3
  x = 2 * np.eye(3)[labels] + generator.normal(0, 0.3, (90, 3))
  return dd.from_arrays(x, labels)


SOURCE = _source()


def _plan(tmp_path, **settings):
  method = dd.methods.mtt(
      num_steps=1,
      experts=dict(num=1, num_epochs=3),
      segment=dict(lowest=0, first=1, highest=1),
      learn_labels=True,
      **settings)
  return plan(
      SOURCE,
      method,
      "mlp",
      per_class=2,
      keys=Keys.of(KEY),
      store=Store(tmp_path, tmp_path))


def test_names_what_is_suspicious(tmp_path):
  made = _plan(tmp_path, step_size_floor=1e-4)
  start = made.start
  sound = start._replace(codes=start.codes + 0.1)
  assert findings(made, sound) == []
  (still,) = findings(made, start._replace(codes=start.codes * 1.0001))
  assert "nearly those that the set started from" in still
  floor = sound._replace(raw_step_sizes=start.raw_step_sizes * 0 + 1e-4)
  assert "lower bound" in findings(made, floor)[0]
  far = sound._replace(raw_step_sizes=start.raw_step_sizes / 150)
  assert "fell from" in findings(made, far)[0]
  (drifted,) = findings(made, sound._replace(labels=start.labels[::-1]))
  assert "4 of 6 learned labels" in drifted


def test_condense_warns_and_the_set_remembers():
  method = dd.methods.dm(num_steps=1, learning_rate=1e-9)
  with pytest.warns(UserWarning, match="started from") as warned:
    made = dd.condense(SOURCE, method, "mlp", per_class=1)
  assert {warning.filename for warning in warned} == {__file__}
  report = dd.evaluate(made, SOURCE, num_networks=1, baselines="")
  assert "started from" in report["findings"][0]
  assert "started from" in str(report)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    dd.condense(SOURCE, dd.methods.dm(num_steps=2), "mlp", per_class=1)


@pytest.mark.parametrize("key", (0, np.int32(3), np.zeros(2), None))
def test_a_key_is_no_number(key):
  with pytest.raises(ConfigError, match="must be a random key"):
    check_key(key)


def test_older_keys_are_keys():
  check_key(KEY)
  check_key(jax.random.PRNGKey(0))


@pytest.mark.parametrize(
    "call", (
        lambda s, n: dd.condense(s, dd.methods.dm(), n, per_class=1, key=1),
        lambda s, n: dd.from_real(0, s, dd.pixels(), num_samples=3),
        lambda s, n: dd.evaluate(_made(), s, key=7),
        lambda s, n: dd.evaluate_set(7, _made(), s.test, network=n)))
def test_integers_are_refused_in_place_of_keys(call):
  with pytest.raises(ConfigError, match="random key"):
    call(SOURCE, dd.mlp(3))


def _made():
  return dd.from_samples(
      np.eye(3, dtype=np.float32), np.arange(3), class_names=("0", "1", "2"))


@pytest.mark.parametrize(
    "call", (
        lambda pair: dd.condense(pair, dd.methods.dm(), per_class=1),
        lambda pair: dd.Run("nowhere", pair, dd.methods.dm(), per_class=1),
        lambda pair: dd.evaluate(_made(), pair),
        lambda pair: dd.from_real(KEY, pair, dd.pixels(), num_samples=3)))
def test_arrays_are_refused_in_place_of_a_source(call):
  with pytest.raises(DataError, match="from_arrays"):
    call((np.zeros((6, 3)), np.arange(6) % 3))


def test_a_method_that_was_not_called():
  with pytest.raises(ConfigError, match=r"methods\.dm\(\)"):
    dd.condense(SOURCE, dd.methods.dm, per_class=1)


def _matching():
  return dd.backprop(
      distribution_matching(
          dd.mlp(3), np.arange(3)[:, None], sample=dd.per_class(4)),
      dd.pixels())


@pytest.mark.parametrize(
    "optimizer, step_size, message",
    ((optax.adam(0.1), None, "one for all fields"), (
        dd.learn(codes=optax.adam(0.1),
                 labels=optax.adam(0.1)), None, "`learn` must name fields"),
     (dd.learn(codes=optax.adam(0.1)), 0.02, "`step_size` must be None")))
def test_what_nothing_would_learn_is_refused(optimizer, step_size, message):
  outer = dd.distiller(_matching(), optimizer)
  start = dd.from_real(
      KEY, SOURCE, dd.pixels(), num_samples=3, step_size=step_size)
  with pytest.raises(ConfigError, match=message):
    outer.init(KEY, start)


def test_a_set_made_by_hand_has_a_recipe_of_its_kind():
  start = dd.from_real(KEY, SOURCE, dd.pixels(), num_samples=3)

  def make(start, **given):
    return dd.to_artifact(
        _matching(),
        start,
        SOURCE,
        method="dm",
        order=dd.step_order(3, 1),
        **given)

  assert make(start).recipe["name"] == "converged"
  for wrong, given, message in ((dict(raw_step_sizes=np.full(1, 0.02)), {},
                                 "`step_size` must be None"),
                                ({}, dict(recipe=dict(name="in_order")),
                                 "must not be in_order"),
                                (dict(labels=start.labels - 1 / 3), {},
                                 "must be 'centred'")):
    with pytest.raises(ValueError, match=message):
      make(start._replace(**wrong), **given)


def test_two_step_sizes_are_taken_in_order():
  with pytest.raises(dd.ArtifactError, match="must be in_order"):
    dd.from_samples(
        np.eye(3, dtype=np.float32),
        np.arange(3),
        class_names=[*"abc"],
        step_sizes=(0.1, 0.1),
        recipe=dict(name="dsa"))


@pytest.mark.parametrize("name", ("dm", "cafe"))
def test_methods_that_read_no_labels_do_not_learn_them(name):
  with pytest.raises(ConfigError, match="does not read labels"):
    getattr(dd.methods, name)(learn_labels=True)


def test_says_that_it_still_works(capsys, monkeypatch):
  monkeypatch.setattr(console, "_SILENCE", 0.0)
  with console.working("outer"), console.working("evaluating"):
    time.sleep(1.3)
  assert "still evaluating" in capsys.readouterr().err
  time.sleep(1.3)
  assert not capsys.readouterr().err


def test_says_how_long_a_part_may_take(capsys, monkeypatch):
  monkeypatch.setattr(console, "_SILENCE", 0.0)
  with console.working("evaluating"), console.expected("baselines", 600):
    time.sleep(1.3)
  assert re.search(
      "still evaluating, [0-9:]+ so far, about 0:0[0-9:]+ of baselines left",
      capsys.readouterr().err)


def test_the_first_line_of_a_countdown_delays_no_other(capsys, monkeypatch):
  clock = iter((0.0, 20.0, 25.0, 26.0))
  monkeypatch.setattr(console.time, "monotonic", lambda: next(clock, 26.0))
  count = console.Countdown("networks", 9)
  count(1)
  assert count.each is None
  count(2)
  assert capsys.readouterr().err.splitlines() == [
      "  networks: 1 of 9", "  networks: 2 of 9, about 0:00:42 left"
  ]
  assert count.each == 6


def test_a_countdown_says_what_is_left(capsys, monkeypatch):
  clock = iter((0.0, 5.0, 25.0, 26.0, 45.0))
  monkeypatch.setattr(console.time, "monotonic", lambda: next(clock, 45.0))
  count = console.Countdown("networks", 4)
  for done in range(1, 5):
    count(done)
  assert capsys.readouterr().err.splitlines() == [
      "  networks: 2 of 4, about 0:00:40 left",
      "  networks: 3 of 4, about 0:00:20 left"
  ]
