"""Configurations: all of them load, and options reach what they name."""

import importlib
import re
from types import SimpleNamespace

import launching
import pytest
import sources
from configs.common import published
from configs.data_sets import DATA_SETS

from distill_jax import methods
from distill_jax.errors import ConfigError, DataError
from distill_jax.methods import outer

FILES = sorted(
    path.stem for path in launching.CONFIGS.glob("*.py") if path.stem not in (
        "combined", "common", "data_sets", "students", "usual"))
IMAGES = [name for name, d in DATA_SETS.items() if d.traits is not None]


def load(method, text=None):
  return importlib.import_module(f"configs.{method}").get_config(text)


def method_of(config):
  return methods.from_spec(config.method.to_dict())


def test_every_method_has_a_configuration():
  assert set(FILES) == set(methods.ENTRIES)


def test_combined_methods():
  config = load("exclusive", "of=dsa,ipc=6,segments.num=3,num_steps=30")
  assert config.per_class == 6 and config.method.segments.num == 3
  assert config.method.of.name == "dsa" and config.method.of.num_steps == 30
  config = load("weighted", "parts=dm+idc,weights=1+3,quick,batch_size=9")
  dm, idc = config.method.parts
  assert config.method.weights == (1, 3) and config.per_class == 10
  assert (dm["name"], dm["batch_size"]) == ("dm", 9)
  assert (idc["name"], idc["batch_size"]) == ("idc", 32)
  with pytest.raises(ConfigError, match="Did you mean 'dsa'"):
    load("exclusive", "of=das")
  with pytest.raises(ConfigError, match="joined by [+]; got x"):
    load("weighted", "weights=x")


@pytest.mark.parametrize("name", FILES)
def test_loads(name):
  config = load(name)
  assert method_of(config).name == name
  for data in DATA_SETS:
    for text in (f"data={data}", f"data={data},quick"):
      config = load(name, text)
      assert config.data == DATA_SETS[data].spec
      assert method_of(config).name == name
  assert method_of(config).num_steps <= 100
  commands = re.findall(
      r"configs/(\w+)\.py:(\S+) ",
      importlib.import_module(f"configs.{name}").__doc__)
  assert [of for of, _ in commands] == [name], "one example in the docstring"
  load(*commands[0])


@pytest.mark.parametrize(
    "name, text, fields",
    [("sldd", "", dict(per_class=1, method__epochs=20, network__width=32)),
     (
         "sldd", "data=mnist,fixed,rows=5,steps=1",
         dict(
             num_rows=5,
             per_class=0,
             method__steps=1,
             method__num_steps=60_000,
             method__fixed=True,
             network__name="lenet")),
     ("sldd", "data=table,ipc=3", dict(per_class=3, num_rows=0)),
     ("tdd", "data=trec50", dict(per_class=20, method__start="noise")),
     ("tdd", "data=sst5", dict(method__step_size=0.5)),
     ("tdd", "data=sst5,step_size=0.2", dict(method__step_size=0.2)),
     ("dsa", "data=mnist,recipe=dc", dict(method__recipe__num_epochs=1_000)),
     ("dm", "recipe.num_epochs=7", dict(method__recipe__num_epochs=7)),
     ("idc", "data=mnist", dict(method__clamp=True)),
     (
         "idc", "data=mnist,parameterization.name=linear_bases",
         dict(method__clamp=False, method__parameterization__num_bases=16)),
     (
         "idc", "data=mnist,parameterization.factor=3",
         dict(method__parameterization__factor=3)),
     (
         "idc",
         "parameterization.name=multi_formation,parameterization.factor=3",
         dict(method__parameterization__factor=3)),
     (
         "dm", "parameterization.name=quantised,"
         "parameterization.inner.name=frequency",
         dict(
             method__parameterization__bits=8,
             method__parameterization__inner__keep=49)),
     ("edd", "data=mnist,ipc=10", dict(method__segments__num=5)),
     (
         "mtt", "data=cifar10,experts.num=3,quick,width=20",
         dict(method__experts__num=3, network__width=20)),
     ("mtt", "data=cifar10", dict(preprocessing="zca")),
     (
         "kip", "data=cifar10,network=conv3",
         dict(
             preprocessing="standardise",
             validation_fraction=0.0,
             network__kernel="convolutional")),
     ("kip", "data=trec6", dict(preprocessing="averaged_vectors")),
     (
         "rfad", "data=mnist,network=lenet,features=convnet,width=32",
         dict(network__name="lenet", method__network__width=32)),
     ("rat_bptt", "regression", dict(method__recipe__name="frepo")),
     (
         "frepo", "data=cifar10,ipc=10",
         dict(preprocessing="relative_zca", method__recipe__num_steps=2_000))])
def test_options(name, text, fields):
  config = load(name, text)
  for field, value in fields.items():
    assert config[field.replace("__", ".")] == value, field
  method_of(config)


def test_what_was_published():
  assert published(load("dm", "data=mnist"))["method"]["learning_rate"] == 1.0
  assert published(load("dm")) is None
  for name, text in (("exclusive", "of=idc"), ("weighted", "parts=idc+dm"),
                     ("dm", "rows=500")):
    config = load(name, f"{text},data=mnist")
    assert published(config) == config.to_dict()


@pytest.mark.parametrize("name", ["mtt", "dsa", "idc"])
def test_rows_take_what_was_published_for_as_many_of_a_class(name):
  sizes = [("rows=500", "ipc=50"), ("rows=10", "ipc=1"), ("rows=3", "ipc=1")]
  for pair in sizes:
    rows, each = (load(name, f"data=cifar10,{size}") for size in pair)
    assert rows.method == each.method
    assert rows.preprocessing == each.preprocessing
  known = load(name, "data=cifar100,rows=1000")
  assert known.method == load(name, "data=cifar100,ipc=10").method


@pytest.mark.parametrize(
    "name, text, message",
    [("dm", "ipc=0", "`ipc` and `rows` must be at least 1; got 0"),
     ("dm", "rows=-1", "`ipc` and `rows`"),
     ("dm", "data=mnits", "Did you mean 'mnist'"),
     ("dm", "learning_rat=3", "Did you mean 'learning_rate'"),
     ("kip", "network=fc2", "`network` must be one of conv3"),
     ("frepo", "network=resnet99", "`network` must be one of"),
     ("sldd", "data=mnist,width=3", "`width` must be left out with lenet"),
     ("tdd", "own,vectors=a.txt", "one of the options own, vectors"),
     ("dm", "parameterization.name=gan", "`parameterization.name` must be"),
     (
         "dm", "parameterization.inner.name=field",
         "`parameterization.inner.name` must be left out .* got 'field'"),
     (
         "dm", "parameterization.name=quantised,"
         "parameterization.inner.name=gan",
         "`parameterization.inner.name` must be one of")])
def test_options_are_refused(name, text, message):
  with pytest.raises(ConfigError, match=message):
    load(name, text)


@pytest.mark.parametrize(
    "name, settings, message",
    [("dm", dict(optimizer="lbfgs"), "`optimizer` must be one of adabelief"),
     ("dm", dict(schedule="linear"), "`schedule` must be one of constant"),
     ("dm", dict(learning_rate=-1), "`learning_rate` must be positive; got -1"),
     ("dm", dict(num_steps=0), "`num_steps` must be at least 1; got 0"),
     ("dm", dict(batch_size=0), "`batch_size` must be at least 1; got 0"),
     ("dm", dict(clip_norm=-1.0), "`clip_norm` must be at least 0"),
     ("dm", dict(start="image"), "`start` must be one of class_mean"),
     ("dm", dict(parameterization=dict(name="gan")), "`parameterization`"),
     ("dm", dict(recipe=dict(name="magic")), "`recipe` must be one of"),
     ("dm", dict(learn_labels=True), "setting 'learn_labels'"),
     ("ncfm", dict(learn_labels=True, calibration=0), "`learn_labels` must be"),
     ("sldd", dict(fixed=True, num_initialisations=2), "`num_initialisations`"),
     ("sldd", dict(momentum=1.5), r"`momentum` must be in \[0, 1\)"),
     ("sldd", dict(step_size=0), "`step_size` must be positive"),
     ("sldd", dict(start="a/b.safetensors"), "`start` must be a name with"),
     ("tdd", dict(snap=1, learn_labels=False), "`snap` must be 0 but for"),
     ("edd", dict(segments=dict(num=3)), "`segments.num` must divide"),
     ("edd", dict(segments=dict(anchor_weight=-1)), "`segments.anchor_weight`"),
     ("edd", dict(segments=dict(drop_correct=2)), "`segments.drop_correct`"),
     (
         "edd", dict(parameterization=dict(name="hallucinator", num_styles=2)),
         "keep classes apart for segments"),
     (
         "mtt", dict(segment=dict(highest=50)),
         "end within the experts' 8 epochs"),
     ("mtt", dict(segment=dict(lowest=5)), "must have 0 <= lowest < first"),
     ("mtt", dict(segment=dict(growth="fast")), "`segment.growth` must be one"),
     ("mtt", dict(student=dict(num_steps=0)), "`student.num_steps` must be at"),
     (
         "mtt", dict(experts=dict(dtype="float64")),
         "`experts.dtype` must be one"),
     ("mtt", dict(experts=dict(step_size=-0.1)), "`experts.step_size` must be"),
     ("mtt", dict(rollbacks=-1), "`rollbacks` must be at least 0"),
     ("mtt", dict(label_space="soft"), "`label_space` must be one of"),
     ("rat_bptt", dict(student=dict(target_scale=5.0)), "must be 1 without"),
     ("rat_bptt", dict(student=dict(optimizer="lion")), "`student.optimizer`"),
     (
         "rat_bptt",
         dict(
             unit_norm=True,
             parameterization=dict(name="linear_bases",
                                   num_bases=4)), "`unit_norm` must be off"),
     ("rcig", dict(solver=dict(name="lbfgs")), "`solver.name` must be one of"),
     ("frepo", dict(network_pool=dict(step_size=-1.0)), "`network_pool.step_s"),
     (
         "label_solve", dict(parameterization=dict(name="multi_formation")),
         "must be pixels for label_solve")])
def test_settings_are_refused(name, settings, message):
  with pytest.raises(ValueError, match=message):
    methods.ENTRIES[name].make(**settings)


def test_constants_of_each_channel():
  config = load("dm", "data=cifar10")
  config.data = "digits"
  with pytest.raises(DataError, match="`preprocessing` must keep the shape"):
    sources.source(config, data_dir=None)
  config = load("dm", "data=cifar10,preprocessing=standardise")
  config.data = "digits"
  read = sources.source(config, data_dir=None)
  assert read.preprocessing.mean.shape == (1,)


def _rates(num_steps, **settings):
  s = SimpleNamespace(**methods.sldd(**settings).settings)
  schedule = outer.schedule(s, 1.0, num_steps)
  return [float(schedule(step)) for step in range(num_steps)]


def test_a_run_prolonged_by_restarts_keeps_its_rates():
  rates = {
      n: _rates(n, restart_after=30, restart_every=20) for n in (30, 50, 70)
  }
  assert rates[70][:50] == rates[50] and rates[50][:30] == rates[30]
  assert max(rates[70][:30]) == 1 and max(rates[70][30:]) == 0.5
  assert rates[70][29] < 0.02 and rates[70][49] < 0.02


def test_cosine_and_halving_and_constant():
  ends = {
      name: (rates[50], rates[99]) for name in outer.SCHEDULES
      for rates in [_rates(100, schedule=name)]
  }
  assert ends["constant"] == (1, 1)
  assert ends["halving"] == (2**-5, 2**-9)
  assert 0.4 < ends["cosine"][0] < 0.6 and ends["cosine"][1] < 0.02
