"""An outer step of FRePo in one scan, against Python loops and host sampling.

ConvNet of depth 3 and width 128, 100 samples of 32 x 32 x 3 in ten classes,
1,024 real images, a pool of ten networks; `--steps` steps in one call. The
other side is the same mathematics as it is usually written: a list of states,
two jitted functions (one for the set, one for a network), and batches that
NumPy draws on the host and that are copied to the device. Both sides must first
agree on the gradient of the set. Bar: our step takes at most as long on a CPU,
and at most 0.8 times as long on an accelerator.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import steps
import timing

from distill_jax import data, methods, nn
from distill_jax.environment import platform
from distill_jax.kernels.regression import predict
from distill_jax.labels import centred_rows, squared_error
from distill_jax.objectives.frepo import label_margin
from distill_jax.outer_loop import distill

CLASSES, SHAPE, POOL, MAX_AGE, REAL = 10, (32, 32, 3), 10, 101, 20_000
BARS = {"cpu": 1.0}
ACCELERATOR_BAR = 0.8


def main(argv=None) -> None:
  options = timing.parser(
      __doc__, width=128, num_samples=100, num_real=1024,
      steps=5).parse_args(argv)
  problem = Problem(options)
  row, bar = {"difference": problem.difference()}, ACCELERATOR_BAR
  sides = dict(ours=problem.scanned, python=problem.looped)
  row |= timing.compare(
      options, BARS.get(platform(), bar), options.steps, **sides)
  timing.report("frepo_step", options, [row])


class Problem:
  """Both sides of the comparison."""

  def __init__(self, options):
    self.options = options
    generator = np.random.default_rng(0)
    self.x = generator.integers(0, 256, (REAL, *SHAPE), np.uint8)
    self.y = np.arange(REAL) % CLASSES
    source = data.from_arrays(self.x, self.y, test_fraction=0)
    self.network = nn.convnet(CLASSES, width=options.width, norm=None)
    rates = dict(learning_rate=3e-4, label_learning_rate=3e-4)
    pool = dict(size=POOL, max_age=MAX_AGE, step_size=3e-4)
    method = methods.frepo(
        **rates,
        start="noise",
        schedule="constant",
        optimizer="lamb",
        batch_size=options.num_real,
        network_pool=pool)
    size = options.num_samples
    self.plan = steps.planned(source, method, self.network, num_rows=size)
    self.state, self.start = self.plan.state, self.plan.start
    self.rule = method.learned(method.num_steps)
    self.of_network = optax.adam(3e-4)
    self._theirs(*source.preprocessing)

  def scanned(self):
    """`steps` outer steps of our program."""
    self.state, _ = distill(
        self.plan.keys.run,
        self.state,
        self.plan.task.source.train,
        step=self.plan.outer.step,
        num_steps=self.options.steps)
    return self.state.distilled

  def _theirs(self, mean, std):
    self.generator = np.random.default_rng(1)
    keys = jax.random.split(jax.random.key(2), POOL)
    self.pool = [self._fresh(key) for key in keys]
    self.ages = [i * (MAX_AGE // POOL) for i in range(POOL)]
    self.learned = (self.start, self.rule.init(self.start))
    network = self.network

    def loss(distilled, variables, inputs, classes):
      x, y = distilled.codes, distilled.labels
      own = network.stages(variables, x)[0][-1]
      real = jax.lax.stop_gradient(network.stages(variables, inputs)[0][-1])
      with jax.default_matmul_precision("highest"):
        outputs = predict(real @ own.T, own @ own.T, y, ridge=1e-6)
      wanted = centred_rows(classes, CLASSES)
      margin = label_margin(y, at_most=1 / CLASSES)
      return squared_error(outputs, wanted) - margin

    self.gradient = jax.jit(jax.grad(loss))

    @jax.jit
    def of_set(learned, variables, images, classes):
      distilled, state = learned
      inputs = (images.astype(jnp.float32) / 255 - mean) / std
      gradient = jax.grad(loss)(distilled, variables, inputs, classes)
      change, state = self.rule.update(gradient, state, distilled)
      return optax.apply_updates(distilled, change), state

    @jax.jit
    def of_member(member, distilled):
      variables, state = member

      def error(params):
        variables = {"params": params}
        outputs, _ = network.apply(variables, distilled.codes, train=True)
        return squared_error(outputs, distilled.labels)

      params = variables["params"]
      change, state = self.of_network.update(
          jax.grad(error)(params), state, params)
      return {"params": optax.apply_updates(params, change)}, state

    self.of_set, self.of_member = of_set, of_member

  def _fresh(self, key):
    variables = self.network.init(key, self.start.codes[:1])
    return variables, self.of_network.init(variables["params"])

  def looped(self):
    """`steps` outer steps of the other program."""
    for _ in range(self.options.steps):
      rows = self.generator.choice(REAL, self.options.num_real, replace=False)
      index = self.generator.integers(POOL)
      self.learned = self.of_set(
          self.learned, self.pool[index][0], jnp.asarray(self.x[rows]),
          jnp.asarray(self.y[rows]))
      self.ages[index] += 1
      if self.ages[index] > MAX_AGE:
        key = jax.random.key(self.generator.integers(2**31))
        self.pool[index], self.ages[index] = self._fresh(key), 0
      else:
        self.pool[index] = self.of_member(self.pool[index], self.learned[0])
    return self.learned[0], self.pool[index]

  def difference(self) -> float:
    """`steps.difference` on one batch and network."""
    estimator = self.plan.estimator
    batch = estimator.sample(jax.random.key(3), self.plan.task.source.train)
    _, ours, state, _ = jax.jit(estimator.estimate)(
        jax.random.key(5), self.start, self.plan.state.objective, batch)
    drawn = jax.tree.map(lambda leaf: leaf[state.last], state.variables)
    theirs = self.gradient(self.start, drawn, batch.inputs, batch.labels)
    return steps.difference(
        ours._asdict(), dict(codes=theirs.codes, labels=theirs.labels))


if __name__ == "__main__":
  main()
