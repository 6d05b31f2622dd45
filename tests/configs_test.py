"""Configurations: all of them load, and each method traces a step."""

import tempfile

import build
import jax
import launching
import numpy as np
import outer
import performance
import pool
import pytest
from absl.testing import parameterized
from configs.datasets import DATASETS
from configs.matching import METHODS
from configs.text import DATASETS as TEXTS
from ml_collections import ConfigDict

from distill_jax import data, models
from distill_jax.errors import ConfigError
from distill_jax.objectives import ncfm

FILES = sorted(path.stem for path in launching.CONFIGS.glob("*_*.py"))


def _load(name, text=None):
  return launching.configuration(f"{name}.py", text)


def _small(method, text="quick,ipc=2,width=4"):
  """A configuration for the embedded digits."""
  config = _load(f"{method}_mnist", text)
  config.data = "digits"
  config.network.depth = 2
  config.batch_size = 8
  if method == "cafe":
    config.layer_weights = (0.1, 1.0, 2.0)
    config.watched = 4
  return config


class ConfigsTest(parameterized.TestCase):
  def test_every_method_has_every_data_set(self):
    assert {f"{m}_{d}" for m in METHODS for d in DATASETS} <= set(FILES)

  @parameterized.parameters(*FILES)
  def test_loads(self, name):
    config = _load(name)
    known = (*DATASETS, *TEXTS, "digits", "table")
    assert name in {f"{config.method}_{d}" for d in known}
    assert _load(name, "quick").num_steps <= 100

  def test_the_preprocessing_may_be_fitted_to_the_data(self):
    config = _small("dm", "preprocessing=standardise")
    assert config.preprocessing == "standardise"
    np.testing.assert_allclose(
        build.source(config).preprocessing.mean, 0.306, atol=0.01
    )

  @parameterized.parameters(*sorted(set(METHODS) - {"dc", "edd"}))
  def test_a_step_of_two_classes_traces(self, method):
    config = _small(method)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (200, 8, 8, 1), np.uint8)
    y = np.arange(200) % 3 // 2  # one class is half as large
    source = data.from_arrays(
        x, y, x, y, preprocessing=build.source(config).preprocessing
    )
    if "batches_between" in config:
      config.batches_between = 1
    self._trace(config, source)

  @parameterized.parameters(
      *METHODS,
      ("dm", "quick,ipc=2,width=4,parameterization=hallucinator"),
      ("ncfm", "quick,ipc=2,width=4,learn_labels"),
      ("dc", "quick,ipc=2,width=4,init=herding,parameterization=linear_bases"),
  )
  def test_a_step_traces(self, method, *text):
    config = _small(method, *text)
    self._trace(config, build.source(config))

  def _trace(self, config, source):
    method, run = config.method, build.run(config, source)
    samples = run.estimator.samples(run.state.distilled)
    assert run.rows.order.shape == (1, len(samples.inputs))
    assert len(samples.labels) == len(samples.inputs)

    def step(key, state, data):
      return run.distiller.step(key, state, data)

    traced = run.data
    if method == "ncfm":
      member = jax.eval_shape(
          pool.trainer(run, config), run.key, split=run.source.train
      )
      traced = ncfm.PooledData(run.source.train, jax.tree.map(
          lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype),
          member,
      ))
    state, _ = jax.eval_shape(step, run.key, run.state, traced)
    assert jax.tree.structure(state) == jax.tree.structure(run.state)

  @parameterized.parameters(
      (dict(batch_size=500), "`batch_size` must.*class '.*'; got 500"),
      (dict(distance="cosinus"), "`distance` must be one of absolute"),
      (dict(samples_per_class=-1), "`samples_per_class` must be positive"),
      (dict(optimizer="lbfgs"), "`optimizer` must be one of adabelief, adam"),
      (dict(clamp=True, preprocessing="zca"), "`clamp` must be off"),
      (dict(method="fedavg"), "`method` must be one of cafe"),
  )
  def test_what_is_refused(self, changes, message):
    config = _small("dc")
    with config.unlocked():
      for field, value in changes.items():
        del config[field]
        config[field] = value
    with pytest.raises((ConfigError, data.source.DataError), match=message):
      build.run(config, build.source(config))

  @parameterized.parameters(*METHODS)
  def test_the_recipe_may_be_another(self, method):
    own = dict(cafe="cafe", dc="dc", edd="idc", idc="idc").get(method, "dsa")
    assert _load(f"{method}_svhn").recipe.name == own
    config = _load(f"{method}_svhn", "recipe=dsa")
    assert config.recipe.to_dict() == dict(
        name="dsa", num_epochs=1_000,
        strategy="color_crop_cutout_scale_rotate",  # digits are not mirrored
    )
    if method == "edd":  # real samples are sorted as they were
      assert config.segments.recipe.name == "idc"

  @parameterized.parameters("cafe", "dm", "ncfm")
  def test_labels_that_no_loss_sees_are_not_learned(self, method):
    config = _small(method, "quick,ipc=2,width=4,learn_labels")
    if method == "ncfm":
      config.calibration = 0.0
    with pytest.raises(ConfigError, match=f"must be off with {method}"):
      build.run(config, build.source(config))

  def test_codes_that_are_no_pixels_are_not_clamped(self):
    assert _load("idc_mnist").clamp
    assert not _load("idc_mnist", "parameterization=linear_bases").clamp
    config = _small("idc", "quick,ipc=2,width=4,parameterization=linear_bases")
    config.clamp = True
    with pytest.raises(ConfigError, match="`clamp` must be off where codes"):
      build.run(config, build.source(config))

  def test_no_samples_are_refused(self):
    with pytest.raises(ConfigError, match="`ipc` must be at least 1; got 0"):
      _load("dc_mnist", "ipc=0")

  def test_constants_of_each_channel(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    x, y = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 2
    np.savez(f"{folder}/rgb.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    config = _small("dc")
    config.data = f"npz:{folder}/rgb.npz"
    with pytest.raises(ConfigError, match="each of the 3 channels; got 1"):
      build.source(config)

  @parameterized.parameters(
      ("augmentation", dict(kind="dsa", strategy="blur"), "`strategy` must"),
      ("parameterization", dict(name="pixels", factor=2), "`parameteriz.*fac"),
      ("parameterization", dict(name="gan"), "`parameterization` must be one"),
      ("parameterization", dict(name="multi_formation", factor=9),
       "`factor` must.*9"),
      ("network", dict(name="convnet", norm="spectral"), "`network norm` must"),
  )
  def test_what_is_refused_of_parts(self, field, value, message):
    config = _small("dc")
    with config.unlocked():
      config[field] = value
    with pytest.raises(ValueError, match=message):
      build.run(config, build.source(config))


class PerformanceTest(parameterized.TestCase):
  """Kernels and long unrolls, on the embedded digits."""

  def _run(self, method, text="quick", **changes):
    config = _load(f"{method}_{'cifar10' if 'label' in method else 'mnist'}",
                   text)
    with config.unlocked():
      for field, value in changes.items():
        *parts, last = field.split("__")
        part = config
        for name in parts:
          part = part[name]
        part[last] = value
    return build.run(config, build.source(config))

  @parameterized.parameters(
      *((method, "quick,ipc=1,width=4") for method in performance.METHODS
        if method not in ("kip", "label_solve")),
      ("frepo", "quick,ipc=1,network=convnet,width=4"),
      ("rat_bptt", "quick,ipc=1,width=4,learn_labels,regression"),
      ("rat_bptt", "quick,ipc=1,width=4,parameterization=linear_bases"),
      ("kip", "quick,labels,augment"), ("kip", "quick,kernel=fc3"),
      ("kip", "quick,kernel=conv3"), ("label_solve", "quick"),
  )
  def test_a_step_traces(self, method, text):
    run = self._run(method, text)

    def step(key, state, data):
      return run.distiller.step(key, state, data)

    state, _ = jax.eval_shape(step, run.key, run.state, run.data)
    assert jax.tree.structure(state) == jax.tree.structure(run.state)
    centred = method in performance.REGRESSIONS or "regression" in text
    assert run.label_space == ("centred" if centred else "raw")
    changed = jax.tree.map(
        lambda a, b: a.shape == b.shape and a.dtype == b.dtype,
        state.distilled, run.state.distilled,
    )
    assert all(jax.tree.leaves(changed))

  @parameterized.parameters("rcig", "rfad")
  def test_a_scalar_is_learned_besides(self, method):
    run = self._run(method, "quick,ipc=1,width=4")
    assert run.state.distilled.extra.shape == ()

  def test_a_student_regresses_on_scaled_targets(self):
    losses = []
    for scale in (1.0, 5.0):
      run = self._run(
          "rat_bptt", "quick,ipc=1,width=4,learn_labels,regression",
          student__target_scale=scale,
      )
      state, info = jax.jit(run.distiller.step)(run.key, run.state, run.data)
      assert state.distilled.labels.min() < 0  # no floor
      losses.append(float(info.loss))
    assert abs(losses[0] - losses[1]) > 1e-3

  def test_kernels_are_built_once(self):
    first, second = (_load("kip_mnist", "quick").network for _ in range(2))
    assert models.from_spec(first, 10) is models.from_spec(second, 10)

  @parameterized.parameters(
      ("kip", dict(network__kernel="ntk"), "`network kernel` must be one of"),
      ("kip", dict(network__width=3), "`network kernel` .*width"),
      ("kip", dict(network__ridge=0.0), "`ridge` must be positive"),
      ("kip", dict(network=dict(name="lenet")), "must be kernel_ridge for kip"),
      ("frepo", dict(network=dict(name="kernel_ridge")), "and for no other"),
      ("kip", dict(label_space="raw"), "`label_space` must be centred"),
      ("frepo", dict(recipe=ConfigDict(dict(name="dsa", num_epochs=1))),
       "`recipe` must be a regression with frepo; got dsa"),
      ("rat_bptt", dict(recipe=ConfigDict(dict(name="kip"))),
       "must not be a regression"),
      ("rcig", dict(start_labels="noise"), "`start_labels` must be centred"),
      ("rcig", dict(student_init="fixed"), "`student_init` must be random"),
      ("kip", dict(step_size=0.1), "`step_size` must be 0 with kip"),
      ("label_solve", dict(parameterization__name="multi_formation"),
       "must be pixels for label_solve"),
      ("frepo", dict(network_pool__step_size=-1.0), "`network_pool.step_size`"),
      ("rat_bptt", dict(unit_norm=True, parameterization__name="hallucinator"),
       "`unit_norm` must be off"),
      ("kip", dict(clamp=True, parameterization=dict(
          name="linear_bases", num_bases=4)),
       "`clamp` must be off"),
      ("rcig", dict(extra_learning_rate=0.0), "`extra_learning_rate` must be"),
      ("rcig", dict(solver__name="lbfgs"), "`solver.name` must be one of"),
      ("rcig", dict(l2_rate=0.0), "`l2_rate` must be positive"),
      ("rfad", dict(loss="hinge"), "`loss` must be one of platt, squared"),
      ("rfad", dict(num_initialisations=0), "`num_networks` must be at least"),
      ("frepo", dict(network_pool__size=0), "`size` and `batch_size` must"),
      ("frepo", dict(margin=-1.0), "`margin` at least 0"),
      ("frepo", dict(num_epochs=2), "`num_epochs` must be 1 with frepo"),
      ("rat_bptt", dict(student__loss="hinge"), "`student.loss` must be one"),
      ("rat_bptt", dict(student__loss="squared_error"),
       "`label_space` must be centred with rat_bptt and `student.loss`"),
      ("rat_bptt", dict(student__target_scale=0.0), "`student.target_scale`"),
      ("rat_bptt", dict(student__target_scale=5.0), "must be 1 without"),
      ("rat_bptt", dict(student__window=9), "`window` must be at least 1 and"),
      ("rat_bptt", dict(student__optimizer="lion"), "`student.optimizer` must"),
      ("rat_bptt", dict(student__momentum=2.0), "`student.momentum` must be"),
      ("kip", dict(evaluation__baselines="random_real_converged"),
       "`baselines` must be 'all' or among"),
      ("kip", dict(evaluation__full_data=True), "`full_data` must be off"),
  )
  def test_what_is_refused(self, method, changes, message):
    of_kernel = method in ("kip", "label_solve")
    text = "quick" if of_kernel else "quick,ipc=1,width=4"
    with pytest.raises(ValueError, match=message):
      self._run(method, text, **changes)

  def test_options_out_of_range(self):
    with pytest.raises(ConfigError, match="`images` must be positive, or 0"):
      _load("kip_mnist", "images=-1")
    with pytest.raises(ConfigError, match="`kernel` must be one of conv3"):
      _load("kip_mnist", "kernel=fc2")
    with pytest.raises(ConfigError, match="`network` must be one of convnet"):
      _load("frepo_mnist", "network=resnet18")


class ScheduleTest(parameterized.TestCase):
  def test_a_run_prolonged_by_restarts_keeps_its_rates(self):
    config = _load("sldd_mnist", "fixed")
    config.restart_after, config.restart_every = 30, 20
    rates = {}
    for num_steps in (30, 50, 70):
      config.num_steps = num_steps
      schedule = outer.schedule(config, 1.0)
      rates[num_steps] = [float(schedule(t)) for t in range(num_steps)]
    assert rates[70][:50] == rates[50] and rates[50][:30] == rates[30]
    assert max(rates[70][:30]) == 1 and max(rates[70][30:]) == 0.5
    assert rates[70][29] < 0.02 and rates[70][49] < 0.02

  def test_cosine_and_halving_and_constant(self):
    config = _load("sldd_digits")
    config.num_steps = 100
    ends = {}
    for name in outer.SCHEDULES:
      config.schedule = name
      schedule = outer.schedule(config, 1.0)
      ends[name] = float(schedule(50)), float(schedule(99))
    assert ends["constant"] == (1, 1)
    assert ends["halving"] == (2**-5, 2**-9)
    assert 0.4 < ends["cosine"][0] < 0.6 and ends["cosine"][1] < 0.02
