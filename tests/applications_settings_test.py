"""Wrong settings of every harness are refused before the first cell."""

import numpy as np
import pytest

import distill_jax as dd
from distill_jax import applications
from distill_jax.applications import Cells, accounting, settings
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
  return run(source, cells=_Nothing(), **{**SMALL[name], **changed})


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
     ("continual", dict(preprocessing=5), "`preprocessing` must be first"),
     ("search", dict(topk=5), "`topk` must be a list; got 5"),
     ("search", dict(topk=(0,)), "`topk` must be whole numbers of at least 1"),
     ("search", dict(topk_by="x"), "`topk_by` must be one of full, proxy"),
     ("search", dict(space=5), "`space` must be a list; got 5"),
     ("search", dict(network="kernel_ridge"), "`network` must be trained by"),
     (
         "search", dict(arms=[{
             "method": "dm",
             "label": "all_data"
         }]), "`arms` must not have the name all_data"),
     ("privacy", dict(early_steps=5), "`early_steps` must be a list; got 5"),
     ("privacy", dict(epsilons=1.0), "`epsilons` must be a list; got 1.0"),
     ("privacy", dict(epsilons=("a",)), "`epsilon` must be a number; got 'a'"),
     ("privacy", dict(num_canaries=-1), "`num_canaries` must be a whole"),
     ("privacy", dict(noised=5), "`noised` must be a mapping of settings"),
     ("robustness", dict(eps="a"), "`eps` must be a number; got 'a'"),
     ("robustness", dict(num_attacked=1.5), "`num_attacked` must be a whole"),
     (
         "robustness",
         dict(makers=["random_real", "dm"], per_class=3, poison=0.3),
         "`poison` must leave every class enough images for dm; got 0.3")])
def test_refuses(name, changed, message, images):
  with pytest.raises(ConfigError, match=message):
    _run(name, images, **changed)


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
