"""Memory of outer steps, by XLA's analysis of the programs; nothing is run.

    python benchmarks/memory.py unroll|matching|trajectory|text [--out=FILE]

unroll: SLDD with 1 to 100 inner steps, with and without rematerialisation. Bar
for T steps with it: the memory of one step, and the weights of T - 1 steps,
plus 1 %. matching: gradient matching of 100 and of 10 classes on a CPU, where
classes are matched one by one; a whole outer step, including sampling. Bar: 100
classes take at most 1.5 times as much. trajectory: MTT and TESLA with 20 and 50
student steps (ConvNet of depth 3, 100 samples of 32 x 32 x 3). Bars: 20 exact
steps take at most 1.1 GiB, and 50 steps at most the weights of 30 steps more.
text: TDD with a Bi-LSTM, sentences of 400 words, five inner steps. Bar: 4 GiB
with the time loop in parts; for comparison, the same with all states kept.
"""

import argparse
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import steps
import timing
import unrolled

from distill_jax import augmentation, data, methods, nn
from distill_jax.estimators.backprop import backprop
from distill_jax.labels import cross_entropy
from distill_jax.nn import recurrent, vector
from distill_jax.objectives import dd
from distill_jax.objectives.mtt import Segment, trajectory_matching
from distill_jax.parameterization.pixels import pixels
from distill_jax.types import Distilled

MATCHING_BAR, EXACT_BAR, TEXT_BAR = 1.5, int(1.1 * 2**30), 4 * 2**30
UNROLL_MARGIN = 1.01
SHAPE = (32, 32, 3)
_MATCHING = dict(width=128, samples_per_class=10, batch_size=256)
_TRAJECTORY = dict(width=128, num_samples=100)
_FLOAT = 4  # bytes
_STRATEGY = "color_crop_cutout_flip_scale_rotate"


def main(argv=None) -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=timing.RAW)
  works = parser.add_subparsers(dest="work", required=True)
  for name, (_, settings) in WORK.items():
    timing.with_settings(works.add_parser(name), **settings)
  options = parser.parse_args(argv)
  work = vars(options).pop("work")
  if work == "unroll" and options.num_steps[0] != 1:
    parser.error(f"`num_steps` must start with 1; got {options.num_steps}.")
  rows = []
  for columns, temporary, bar in WORK[work][0](options):
    met = "-" if bar is None else temporary <= bar
    bar = "-" if bar is None else columns.get("bar", bar)
    columns = {**columns, "temporary_bytes": temporary}
    rows.append({**columns, "bar": bar, "met": met})
  timing.report(f"memory {work}", options, rows)


def of_estimate(estimator, plan) -> int:
  """Bytes of the meta-gradient of one outer step."""
  key = plan.keys.run
  batch = jax.eval_shape(estimator.sample, key, plan.task.source.train)
  return steps.temporary_bytes(
      estimator.estimate, key, plan.start, plan.state.objective, batch)


def unroll(options):
  """Rows for T inner steps of SLDD, with rematerialisation and without."""
  for remat in (True, False):
    first = None
    for num_steps in options.num_steps:
      temporary, weights, one_step = of_unroll(
          num_steps, options.batch_size, remat)
      first = first or temporary
      bar = int(UNROLL_MARGIN * (first + weights * (num_steps - 1)))
      yield {
          "steps": num_steps,
          "remat": remat,
          "weights_bytes": weights * num_steps,
          "one_step_bytes": one_step,
      }, temporary, bar if remat else None


def of_unroll(num_steps: int, batch_size: int, remat: bool):
  """Bytes of a meta-gradient, of the weights, and of one inner gradient."""
  source = unrolled.random_images(max(batch_size, 10))
  plan = unrolled.sldd(source, num_epochs=num_steps, batch_size=batch_size)
  network, start = plan.task.model, plan.start
  estimator = backprop(
      dd.unrolled(
          network,
          plan.task.layout.order,
          sample=data.mixed(batch_size),
          num_classes=source.num_classes,
          remat=remat), pixels())

  def loss(variables, images, labels):
    return cross_entropy(network.apply(variables, images)[0], labels)

  variables = jax.eval_shape(network.init, plan.keys.run, start.codes[:1])
  weights = sum(leaf.size for leaf in jax.tree.leaves(variables))
  return of_estimate(estimator, plan), _FLOAT * weights, steps.temporary_bytes(
      jax.grad(loss), variables, start.codes, start.labels)


def matching(options):
  """Rows of gradient matching for numbers of classes; the bar is a ratio."""
  first = None
  for num_classes in options.num_classes:
    temporary = of_matching(num_classes, options)
    first = first or temporary
    share = {"to the first": temporary / first, "bar": MATCHING_BAR}
    yield {"classes": num_classes, **share}, temporary, MATCHING_BAR * first


def of_matching(num_classes: int, options) -> int:
  """Bytes of an outer step of DC."""
  labels = np.repeat(np.arange(num_classes), options.batch_size)
  source = data.from_arrays(
      np.zeros((len(labels), *SHAPE), np.uint8), labels, test_fraction=0)
  sgd = dict(optimizer="sgd", beta1=0.0)
  size, network = options.batch_size, nn.convnet(
      num_classes, width=options.width)
  method = methods.dc(batch_size=size, epochs_between=1, start="noise", **sgd)
  per_class = options.samples_per_class
  plan = steps.planned(source, method, network, per_class=per_class)
  return steps.temporary_bytes(
      plan.outer.step, plan.keys.run, plan.state, source.train)


def trajectory(options):
  """Rows for N student steps: exact, TESLA's, without rematerialisation."""
  kinds = dict(exact={}, tesla=dict(freeze=True), kept=dict(remat=False))
  for name, settings in kinds.items():
    first = None
    for num_steps in options.num_steps:
      temporary, weights = of_trajectory(
          options.width, options.num_samples, num_steps, **settings)
      more = _FLOAT * weights * (num_steps - options.num_steps[0])
      bar, first = first + more if first else EXACT_BAR, first or temporary
      columns = {"gradient": name, "steps": num_steps, "weights": weights}
      yield columns, temporary, bar if name == "exact" else None


def of_trajectory(width, num_samples, num_steps, **settings) -> tuple[int, int]:
  """Bytes of one estimate of MTT, and of the weights of the network."""
  network, augment = nn.convnet(10, width=width), augmentation.dsa(_STRATEGY)
  estimator = backprop(
      trajectory_matching(
          network, num_steps=num_steps, augmentation=augment, **settings),
      pixels(),
      positive=lambda raw: raw)
  distilled = Distilled(
      jnp.zeros((num_samples, *SHAPE)), jnp.zeros((num_samples, 10)),
      jnp.ones((1,)))
  key = jax.random.key(0)
  params = jax.eval_shape(network.init, key, distilled.codes[:1])["params"]
  weights = jax.eval_shape(vector.flatten, params)
  args = key, distilled, (), Segment(weights, weights)
  return steps.temporary_bytes(estimator.estimate, *args), weights.size


def text(options):
  """Rows of TDD with the time loop in parts, and with all states kept."""
  length, epochs = options.length, options.num_epochs
  for name, whole in (("in parts", recurrent.WHOLE), ("kept", length)):
    with mock.patch.object(recurrent, "WHOLE", whole):
      plan = unrolled.tdd("bi_lstm", length, 1, epochs, options.batch_size)
      temporary = of_estimate(plan.estimator, plan)
    columns = {"states": name, "words": length, "inner_steps": epochs}
    columns["GiB"] = temporary / 2**30
    yield columns, temporary, TEXT_BAR if name == "in parts" else None


WORK = {
    "unroll": (unroll, dict(num_steps=(1, 10, 50, 100), batch_size=1024)),
    "matching": (matching, dict(num_classes=(10, 100), **_MATCHING)),
    "trajectory": (trajectory, dict(num_steps=(20, 50), **_TRAJECTORY)),
    "text": (text, dict(length=400, num_epochs=5, batch_size=128))
}

if __name__ == "__main__":
  main()
