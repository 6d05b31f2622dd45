"""Wrong settings of every harness are refused before the first cell."""

import jax
import numpy as np
import pytest

import distill_jax as dd
from distill_jax import applications
from distill_jax.applications import (
    Cells,
    accounting,
    continual,
    federated,
    partition,
    settings,
)
from distill_jax.applications.makers import maker, makers
from distill_jax.errors import ConfigError, DataError

SMALL = {
    "federated": dict(makers=["kmeans"], num_clients=2),
    "continual":
        dict(makers=["random_real"], num_tasks=2, num_orders=1, per_class=(1,)),
    "search": dict(arms=["random_real"], space="step_sizes", per_class=1),
    "privacy":
        dict(
            arms=["random_real"],
            num_candidates=8,
            num_pipelines=6,
            per_class=1,
            num_canaries=0,
            early_steps=(),
            epsilons=()),
    "robustness": dict(makers=["random_real"], per_class=1)
}


class _StartedError(Exception):
  """Work has begun."""


class _Nothing(Cells):
  """Cells in which no work may be done."""

  def _get(self, name, *others):
    raise _StartedError(name)


@pytest.fixture(scope="module")
def images():
  """Three 8x8 images of each of four classes."""
  y = np.arange(12) % 4
  x = np.random.default_rng(0).uniform(size=(12, 8, 8, 1)).astype(np.float32)
  return dd.from_arrays(
      x, y, x[:8], y[:8], x_validation=x[:8], y_validation=y[:8])


def _run(name, source, **changed):
  run = applications.harness(name)
  return run(source, **{"cells": _Nothing(), **SMALL[name], **changed})


@pytest.mark.parametrize("name", applications.NAMES)
def test_sound_settings_begin_to_work(name, images):
  with pytest.raises(_StartedError):
    _run(name, images)


@pytest.mark.parametrize("name", applications.NAMES)
@pytest.mark.parametrize(
    ("changed", "message"),
    [(dict(seed=1.5), "`seed` must be a whole number of at least 0; got 1.5"),
     (dict(recipe=5), "`recipe` must be a name, or a mapping"),
     (dict(recipe=["adam"]), "`recipe` must be a name, or a mapping")])
def test_refuses_kinds(name, changed, message, images):
  with pytest.raises(ConfigError, match=message):
    _run(name, images, **changed)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [("federated", dict(rounds=5), "`rounds` must be a list; got 5"),
     ("federated", dict(samples_per_class="3"), "`samples_per_class` must be"),
     ("federated", dict(partition="dirichlet", alpha="a"), "`alpha` must be a"),
     ("federated", dict(hard="yes"), "`hard` must be True or False; got 'yes'"),
     ("federated", dict(values="pixels"), "`values` must not be pixels for"),
     ("federated", dict(same_bytes="yes"), "`same_bytes` must be True or"),
     ("federated", dict(full_data=2), "`full_data` must be True or False"),
     (
         "federated", dict(makers=[dict(foo=1)]),
         "must have a `name` or a `method`; got {'foo': 1}"),
     ("federated", dict(makers='("dm"'), "with all brackets and quotes closed"),
     (
         "federated", dict(makers=[dict(name="random_real", label="a/b")]),
         "`makers` must have names of letters, digits and"),
     ("federated", dict(cells="folder"), "`cells` must be Cells; got 'folder'"),
     ("federated", dict(network=5), "`network` must be a name, a spec"),
     (
         "federated", dict(makers=[{
             "method": "dm",
             "label": "fedavg"
         }]), "`makers` must not have the name fedavg, which is that of"),
     ("continual", dict(joint_steps=-1), "`joint_steps` must be a whole"),
     ("continual", dict(fine_tune_steps=1.5), "`fine_tune_steps` must be a"),
     ("continual", dict(num_tasks="2"), "`num_tasks` must be a whole number"),
     ("continual", dict(per_class=None), "`per_class` must be a list"),
     ("continual", dict(learner=5), "`learner` must be a name, or a mapping"),
     (
         "continual", dict(learner=dict(name="union", beta=1.0)),
         "`learner` 'union' has no setting 'beta'; it has num_steps"),
     ("continual", dict(scenario="domain", rotations=90), "must be a list"),
     ("continual", dict(scenario="domain", rotations=["a"]), "`degrees` must"),
     (
         "continual", dict(scenario="domain", rotations=[0, float("nan")]),
         "`degrees` must be a finite number"),
     (
         "continual", dict(scenario="domain", rotations=[0, 0]),
         "`rotations` must hold each entry once; got 0 twice"),
     ("continual", dict(equal_bytes="no"), "`equal_bytes` must be True or"),
     ("continual", dict(per_class=(1, 1)), "`per_class` must hold each entry"),
     ("continual", dict(networks=[]), "`networks` must name at least one"),
     (
         "continual", dict(networks=["mlp", dict(name="mlp")]),
         "`networks` must hold each entry once"),
     ("continual", dict(preprocessing=5), "`preprocessing` must be first"),
     ("search", dict(topk=5), "`topk` must be a list; got 5"),
     ("search", dict(topk=(0,)), "`topk` must be whole numbers of at least 1"),
     ("search", dict(topk_by="x"), "`topk_by` must be one of full, proxy"),
     ("search", dict(space=5), "`space` must be a list; got 5"),
     ("search", dict(num_candidates=1), "whole number of at least 2"),
     ("search", dict(space="atuo"), "Did you mean 'auto'"),
     (
         "search", dict(space=dict(foo=[1, 2])),
         "settings of `recipe`, here of rat_bptt: batch_size.* got 'foo'"),
     ("search", dict(network="kernel_ridge"), "`network` must be trained by"),
     (
         "search", dict(arms=[{
             "method": "dm",
             "label": "all_data"
         }]), "`arms` must not have the name all_data"),
     ("privacy", dict(early_steps=5), "`early_steps` must be a list; got 5"),
     ("privacy", dict(epsilons=(1, 1)), "`epsilons` must hold each entry once"),
     ("privacy", dict(epsilons=1.0), "`epsilons` must be a list; got 1.0"),
     ("privacy", dict(epsilons=("a",)), "`epsilon` must be a number; got 'a'"),
     ("privacy", dict(num_canaries=-1), "`num_canaries` must be a whole"),
     ("privacy", dict(noised=5), "`noised` must be a mapping of settings"),
     ("robustness", dict(all_data="no"), "`all_data` must be True or False"),
     ("robustness", dict(poison=(0.1, 0.1)), "`poison` must hold each entry"),
     ("robustness", dict(eps="a"), "`eps` must be a number; got 'a'"),
     ("robustness", dict(num_attacked=1.5), "`num_attacked` must be a whole"),
     (
         "robustness",
         dict(makers=["random_real", "dm"], per_class=3, poison=0.3),
         "`poison` must leave every class enough images for dm; got 0.3")])
def test_refuses(name, changed, message, images):
  with pytest.raises(ConfigError, match=message):
    _run(name, images, **changed)


def test_refuses_convnets_for_a_table(images):
  table = dd.from_arrays(
      *(np.zeros((12, 3)),
        np.arange(12) % 4) * 2, validation_fraction=0.5)
  with pytest.raises(ConfigError, match="`space` must hold no ConvNets, as"):
    _run("search", table, space=dict(width=[4, 8]))
  with pytest.raises(_StartedError):
    _run("search", table, space="auto", network="convnet")


@pytest.mark.parametrize(("clients", "message"), [
    ([np.repeat([1, 0], 6)], "row 0 6 times. If these are masks, make them"),
    ([[2, 2, 5, 5, 5]], "client 0 has row 5 3 times"),
    ([[3], [2, 5, 2]], "client 1 has row 2 2 times"),
])
def test_refuses_rows_twice(clients, message, images):
  with pytest.raises(ConfigError, match=message):
    federated.compare(images, ["kmeans"], clients=clients, cells=_Nothing())


@pytest.mark.parametrize(
    "labels", [np.eye(3), np.zeros(0, int), [0.0, 1.0, np.nan]])
def test_refuses_labels_that_make_no_clients(labels):
  with pytest.raises(ConfigError, match=r"`labels` must be \[N\], one class"):
    partition.by_classes(np.asarray(labels), 2)


def test_refuses_scenarios_that_cannot_be(images):
  sound = continual.Scenario.class_incremental(images, 2, preprocessing="given")
  one, other = sound.tasks
  for tasks, kind, message in (
      ((one, one), "class", "`tasks` must each have classes of their own"),
      ((one, other), "classes", "`kind` must be one of class, domain"),
      ((one,), "class", "`tasks` must be two or more; got 1"),
  ):
    scenario = continual.Scenario(tasks, kind)
    for call in (
        lambda s=scenario: continual.compare(s, ["random_real"], per_class=1),
        lambda s=scenario: continual.learn(jax.random.key(0), s, [], None,
                                           network=None)):
      with pytest.raises(ConfigError, match=message):
        call()
  with pytest.raises(ConfigError, match="must hold scenarios; got a Source"):
    continual.compare(images, ["random_real"], per_class=1)
  with pytest.raises(ConfigError, match="`parts` must be one set for each"):
    continual.learn(jax.random.key(0), sound, [], None, network=None)
  with pytest.raises(ConfigError, match="`key` must be a random key"):
    continual.remember(0, one, "random_real", per_class=1)


@pytest.mark.parametrize("name", applications.NAMES)
def test_refuses_data_without_a_test_part(name, images):
  with pytest.raises(DataError, match="`source` must have a .* part"):
    _run(name, images._replace(test=None))


def test_real_samples_may_have_a_label():
  made = maker({"name": "random_real", "label": "random"})
  assert made.name == "random" and made.exact and made.method is None
  assert [m.name for m in makers(["random_real", made.spec])
         ] == ["random_real", "random"]
  with pytest.raises(ConfigError, match="random_real must have no settings"):
    maker({"name": "random_real", "num_steps": 3})
  with pytest.raises(ConfigError, match="`label` must be a name in tables"):
    maker({"name": "dm", "label": 5})


@pytest.mark.parametrize(("given", "message"), [
    (dict(epsilon=0.0), "`epsilon` must be positive; got 0.0"),
    (dict(epsilon=float("inf")), "`epsilon` must be positive; got inf"),
    (dict(delta=1), r"`delta` must be in \(0, 1\); got 1"),
    (dict(num_releases=0), "`num_releases` must be a whole number of at least"),
    (dict(rate=0.0), "`rate` must be positive; got 0.0")
])
def test_refuses_what_is_no_guarantee(given, message):
  with pytest.raises(ConfigError, match=message):
    accounting.noise_scale(**{"epsilon": 1.0, "delta": 1e-5, **given})


def test_truth_values_are_no_counts():
  with pytest.raises(ConfigError, match="`num` must be a whole number"):
    settings.check_counts(num=True)
