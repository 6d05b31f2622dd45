"""Learners: anything that makes a classifier from a small training set.

`fit(key, training_set) -> predict` and `predict(inputs) -> classes` are pure
and jittable, so that networks, nearest neighbours and other learners use the
same evaluator. Factories are memoised: the same network and recipe give the
same learner, and are therefore compiled only once.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from distill_jax.evaluation.recipe import Recipe
from distill_jax.evaluation.recipes import in_order
from distill_jax.kernels import regression
from distill_jax.kernels.closed_form import Kernel
from distill_jax.labels import classes_of, classes_of_labels
from distill_jax.neighbours import soft_predictions
from distill_jax.types import Array, Network, PyTree, TrainingSet

Predict = Callable[[Array], Array]
_LEAST = 1e-6  # lower bound of probabilities before their logarithm is taken


class Learner(NamedTuple):
  """A learner.

  Attributes:
    fit: `(key, training_set) -> predict`; `predict` maps inputs [B, ...] in
      model space to classes [B] int32, with -1 if the outputs are not finite.
    name: name for people.
    random: whether the result depends on the key if the set fixes no
      initialisation.
    regression: whether it needs centred labels (True) or refuses them (False);
      None if it reads only which label is largest.
    recipe: how it is fitted, (name, value) pairs of a JSON document; () if
      there is nothing to say.
    outputs: `training_set -> outputs` of a learner in closed form. `outputs`
      maps inputs [B, ...] to [B, K], the outputs of a regression or
      log-probabilities; the largest one is predicted. None for learners
      without; for networks see `trained.outputs_on`.
  """

  fit: Callable[[Array, TrainingSet], Predict]
  name: str
  random: bool
  regression: bool | None = None
  recipe: tuple[tuple[str, Any], ...] = ()
  outputs: Callable[[TrainingSet], Callable[[Array], Array]] | None = None


@functools.cache
def student(network: Network, recipe: Recipe | None = None) -> Learner:
  """A network trained by a recipe, from the set's theta_0 or its own init.

  Args:
    network: the network; build it once, as a new one compiles again.
    recipe: `in_order()` by default.

  Returns:
    A learner. Its `fit` raises `ValueError` if the set has the fixed
    initialisation of another network.

  Example:
    learner = dd.student(dd.mlp(3))
  """
  recipe = recipe or in_order()

  def fit(key, training_set: TrainingSet):
    k_init, k_train = jax.random.split(key)
    example = training_set.samples.inputs[:1]
    if fixes_initialisation(training_set):
      variables = training_set.initial
      _check_initial(network, key, example, variables)
    else:
      variables = network.init(k_init, example)
    trained = recipe.train(k_train, network, variables, training_set)
    return classifier(network, trained)

  return Learner(
      fit, f"student, {recipe.name}", True, recipe.regression,
      tuple(recipe.spec.items()))


def classifier(network: Network, variables: PyTree) -> Predict:
  """Predicts classes by a network's outputs; see `classes_if_finite`."""
  return classes_if_finite(
      lambda inputs: network.apply(variables, inputs)[0], variables)


def classes_if_finite(outputs: Predict, fitted: PyTree) -> Predict:
  """Predicts classes [B] by outputs [B, K]; -1 if these have diverged.

  Args:
    outputs: `(inputs) -> [B, K]` of a fitted model.
    fitted: the weights of that model.
  """
  leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted)]
  sound = jnp.array(leaves, bool).all()

  def predict(inputs):
    found = outputs(inputs)
    finite = sound & jnp.isfinite(found).all(-1)
    return jnp.where(finite, classes_of(found), -1)

  return predict


@functools.cache
def kernel_ridge(kernel_fn: Kernel, *, ridge: float = 1e-6) -> Learner:
  """Kernel ridge regression on centred labels; see `kernels.regression`.

  Args:
    kernel_fn: the kernel; build it once, as a new one compiles again.
    ridge: positive, in units of the mean of the kernel matrix's diagonal.
  """
  if not ridge > 0:
    raise ValueError(f"`ridge` must be positive; got {ridge}.")

  def solved(training_set: TrainingSet):
    inputs, labels = training_set.samples.inputs, training_set.samples.labels
    weights = regression.solve(kernel_fn(inputs, inputs), labels, ridge=ridge)

    def outputs(x):
      cross = kernel_fn(x.astype(inputs.dtype), inputs)
      return regression.product(cross, weights)

    return outputs, weights

  def fit(key, training_set: TrainingSet):
    del key
    return classes_if_finite(*solved(training_set))

  return Learner(
      fit, "kernel ridge regression", False, True,
      (("name", "kernel_ridge"), ("ridge", ridge)),
      lambda training_set: solved(training_set)[0])


@functools.cache
def nearest_neighbours(k: int = 1) -> Learner:
  """Majority vote of the k nearest samples, by Euclidean distance.

  Inputs are flattened. Ties of distance and of votes go to the lowest class. A
  soft label votes for its largest entry.

  Args:
    k: number of neighbours, at least 1 and at most M.
  """
  _check_neighbours(k)

  def fit(key, training_set: TrainingSet):
    del key
    inputs, labels = training_set.samples.inputs, training_set.samples.labels
    if k > len(inputs):
      raise ValueError(
          f"`k` must be at most the {len(inputs)} samples of the set; got {k}.")
    classes = classes_of_labels(labels)
    by_class = jnp.argsort(classes, stable=True)  # `top_k` prefers early rows
    classes = classes[by_class]
    points = inputs[by_class].reshape(len(inputs), -1)
    votes = jax.nn.one_hot(classes, max(2, labels.shape[-1]))

    def predict(inputs):
      x = inputs.reshape(len(inputs), -1)
      product = jnp.matmul(x, points.T, precision=jax.lax.Precision.HIGHEST)
      nearness = 2 * product - jnp.square(points).sum(-1)
      _, nearest = jax.lax.top_k(nearness, k)
      return votes[nearest].sum(1).argmax(-1).astype(jnp.int32)

    return predict

  return Learner(fit, f"{k} nearest neighbours", False)


@functools.cache
def soft_nearest_neighbours(k: int) -> Learner:
  """The class that the labels of the k nearest samples favour, weighted.

  Nearer samples have more weight; see `neighbours.soft_predictions`. With hard
  labels and k = 1 this is `nearest_neighbours`.

  Args:
    k: number of neighbours, at least 1; if larger than M, all samples vote.
  """
  _check_neighbours(k)

  def asked(training_set: TrainingSet):
    inputs, labels = training_set.samples.inputs, training_set.samples.labels
    return lambda x: soft_predictions(x, inputs, labels, min(k, len(inputs)))

  def fit(key, training_set: TrainingSet):
    del key
    said = asked(training_set)
    return lambda x: classes_of_labels(said(x))

  def outputs(training_set: TrainingSet):
    said = asked(training_set)

    def logs(x):
      p = jnp.clip(said(x), _LEAST, 1 - _LEAST)
      return jnp.log(p) - jnp.log1p(-p) if p.shape[1] == 1 else jnp.log(p)

    return logs

  return Learner(fit, f"{k} soft-label neighbours", False, outputs=outputs)


def _check_neighbours(k: int) -> None:
  if k < 1:
    raise ValueError(f"`k` must be at least 1; got {k}.")


def fixes_initialisation(training_set: TrainingSet) -> bool:
  """Whether the set stores theta_0, a fixed initialisation."""
  return bool(jax.tree.leaves(training_set.initial))


def _check_initial(network, key, example, variables: PyTree):
  expected = jax.eval_shape(network.init, key, example)
  same = jax.tree.structure(expected) == jax.tree.structure(variables)
  if same:
    same = all(
        jax.tree.leaves(
            jax.tree.map(lambda a, b: a.shape == b.shape, expected, variables)))
  if not same:
    raise ValueError(
        "`network` must be the one the set was distilled with: its fixed "
        "initialisation belongs to another network. Evaluate it with that "
        "network, or distil with random initialisations.")
