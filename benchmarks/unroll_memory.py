"""Memory of a meta-gradient against the length of its unroll.

With rematerialisation an unroll of T steps keeps the weights of every step
and the activations of one. The compiler's own account of temporary memory
says whether it does; nothing is run, so `--rounds` and `--seconds` change
nothing. Bar, for every T with rematerialisation:
temporary(T) <= temporary(1) + parameters * (T - 1) * 4 bytes, plus 1 %.
"""

import jax
import timing
from sldd_problem import Problem, problem, random_split

from distill_jax.labels import cross_entropy

_FLOAT = 4  # bytes
_MARGIN = 1.01


def main(argv=None) -> None:
  """Runs the benchmark with the given arguments, or the command line's."""
  parser = timing.parser(__doc__)
  parser.add_argument(
      "--num_steps", type=timing.positives, default=(1, 10, 50, 100),
      help="T, a rising list that starts with 1",
  )
  parser.add_argument("--batch_size", type=timing.positive, default=1024)
  options = parser.parse_args(argv)
  if options.num_steps[0] != 1:
    parser.error(f"`num_steps` must start with 1; got {options.num_steps}.")
  split = random_split(max(options.batch_size, 10))
  one_step = inner_gradient_bytes(problem(num_epochs=1, batch_size=1))
  rows = []
  for remat in (True, False):
    rows += _measure(remat, one_step, split, options)
  timing.show(rows)
  timing.write("unroll_memory", options, rows)


def temporary_bytes(problem: Problem, split) -> int:
  """Temporary memory of the compiled meta-gradient of one outer step."""
  k_sample, k_estimate = jax.random.split(jax.random.key(0))
  state = problem.state
  batch = jax.eval_shape(problem.estimator.sample, k_sample, split)
  compiled = jax.jit(problem.estimator.estimate).lower(
      k_estimate, state.distilled, state.objective, batch
  ).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def inner_gradient_bytes(problem: Problem) -> int:
  """Temporary memory of one inner gradient: the activations of one step."""
  images, labels = problem.distilled.codes, problem.distilled.labels

  def loss(variables, images, labels):
    return cross_entropy(problem.network.apply(variables, images)[0], labels)

  variables = jax.eval_shape(
      problem.network.init, jax.random.key(0), images[:1]
  )
  compiled = jax.jit(jax.grad(loss)).lower(variables, images, labels).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def weight_bytes(problem: Problem) -> int:
  """Bytes of one copy of the network's parameters."""
  variables = jax.eval_shape(
      problem.network.init, jax.random.key(0), problem.distilled.codes[:1]
  )
  return _FLOAT * sum(leaf.size for leaf in jax.tree.leaves(variables))


def _measure(remat, one_step, split, options):
  rows = []
  for num_steps in options.num_steps:
    unroll = problem(
        num_epochs=num_steps, batch_size=options.batch_size, remat=remat
    )
    temporary = temporary_bytes(unroll, split)
    first = rows[0]["temporary_bytes"] if rows else temporary
    weights = weight_bytes(unroll)
    allowed = int(_MARGIN * (first + weights * (num_steps - 1)))
    rows.append({
        "steps": num_steps,
        "remat": remat,
        "temporary_bytes": temporary,
        "weights_bytes": weights * num_steps,
        "one_step_bytes": one_step,
        "bar": allowed if remat else "-",
        "met": temporary <= allowed if remat else "-",
    })
  return rows


if __name__ == "__main__":
  main()
