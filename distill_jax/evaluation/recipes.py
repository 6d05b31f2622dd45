"""Recipes that count epochs, and all recipes by name; see `update_recipes`.

A recipe says how a network is trained on a given set. It is part of a result:
the same set gives other accuracies under another recipe. A saved set therefore
names its recipe as a small JSON document (`Recipe.spec`), and `from_spec` turns
this document back into functions.

  in_order   the steps of the set, in their order, with its own step sizes
  dc, dsa,   SGD with momentum for a number of epochs, with a tenth of the step
  cafe       size in the second half; dsa augments every batch
  idc        SGD with momentum on small batches with augmentation and CutMix;
             the step size falls to a fifth twice towards the end
  mtt, datm  as dsa, with the step size that the set has learned
  adam       Adam for a number of epochs, for a set of any size
  rat_bptt   Adam for a number of updates
  frepo, kip regression on centred labels by Adam or SGD, for a number of
             updates
  converged  SGD with momentum at one step size until the loss on the set is
             small
  dp_sgd     SGD with differential privacy, see `private`
  views      AdamW on seeded views of the set that a teacher has labelled
  untrained  no training: the accuracy before any step

Factories are memoised, so that asking twice for a recipe compiles only once.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from distill_jax import augmentation as augmentations
from distill_jax import schema, specification
from distill_jax.evaluation.private import dp_sgd
from distill_jax.evaluation.recipe import Recipe, check_counts, check_rule
from distill_jax.evaluation.update_recipes import frepo, kip, rat_bptt
from distill_jax.evaluation.view_recipe import views
from distill_jax.inner_loop import train_epochs, train_in_order, training_step
from distill_jax.labels import hardened
from distill_jax.mixing import cutmix
from distill_jax.types import TrainingSet


@functools.cache
def in_order(momentum: float = 0.0) -> Recipe:
  """Takes the steps of the set in their order, with the set's step sizes.

  Args:
    momentum: in [0, 1); 0 is plain gradient descent.
  """
  if not 0 <= momentum < 1:
    raise ValueError(f"`momentum` must be in [0, 1); got {momentum}.")
  optimizer = optax.trace(momentum) if momentum else None

  def train(key, network, variables, training_set: TrainingSet):
    return train_in_order(
        key,
        network,
        variables,
        training_set.samples,
        training_set.order,
        optimizer=optimizer,
        remat=False)

  return Recipe("in_order", train, (("momentum", momentum),))


def _by_epochs(name: str, make_train: Callable, doc: str,
               **defaults) -> Callable[..., Recipe]:
  """Makes a memoised factory of recipes: `name(num_epochs, *, settings)`.

  Args:
    name: name of the recipe.
    make_train: makes `Recipe.train` from the settings.
    doc: what distinguishes the recipe, and its paper.
    **defaults: defaults of all settings.
  """
  kind = inspect.Parameter
  first, *others = (
      kind(setting, kind.KEYWORD_ONLY, default=value)
      for setting, value in defaults.items())
  first = first.replace(kind=kind.POSITIONAL_OR_KEYWORD)
  signature = inspect.Signature([first, *others], return_annotation=Recipe)

  @functools.cache
  def build(**settings):
    check_counts(**{k: settings[k] for k in ("num_epochs", "batch_size")})
    check_rule(*(settings[k] for k in _SGD))
    return Recipe(name, make_train(**settings), tuple(settings.items()))

  def factory(*args, **settings) -> Recipe:
    bound = signature.bind(*args, **settings)
    bound.apply_defaults()
    return build(**bound.arguments)

  factory.__name__ = factory.__qualname__ = name
  factory.__signature__ = signature
  factory.__doc__ = "\n".join(
      [doc, "", "  Args:", *(f"    {k}: {_MEANING[k]}" for k in defaults)])
  return factory


_MEANING = {
    "num_epochs": "E, at least 1.",
    "strategy": "see `augmentation`; leave out flip for digits.",
    "mix": "share of batches that CutMix mixes.",
    "step_size": "initial step size, positive.",
    "momentum": "in [0, 1).",
    "weight_decay": "this times the weights is added to the gradient.",
    "batch_size": "size of shuffled batches; the last one may be smaller."
}
_SGD = dict(step_size=0.01, momentum=0.9, weight_decay=5e-4)
_DSA = "color_crop_cutout_flip_scale_rotate"


def _sgd(step_size, momentum, weight_decay) -> optax.GradientTransformation:
  return optax.chain(
      optax.add_decayed_weights(weight_decay), optax.sgd(step_size, momentum))


def _halves(name: str, augment: Callable | None, learned: bool = False):
  """SGD in two halves; the second restarts with a tenth of the step size.

  Args:
    name: name of the recipe, for messages.
    augment: makes an augmentation of a strategy.
    learned: whether the set's own step size is used, if it has one.
  """

  def make_train(
      num_epochs, step_size, momentum, weight_decay, batch_size, strategy=""):
    augmentation = augment and augment(strategy)
    early = num_epochs // 2 + 2

    def first_step_size(own):
      if not learned or not own.size:
        return step_size
      if own.size > 1:
        raise ValueError(
            f"`recipe` {name} takes sets with one step size; got {own.size}. "
            "Use in_order.")
      return own[0]

    def train(key, network, variables, training_set: TrainingSet):
      samples = training_set.samples
      rate = first_step_size(samples.step_sizes)
      phases = ((early, rate), (num_epochs + 1 - early, rate / 10))
      for k_phase, (epochs, rate) in zip(jax.random.split(key), phases,
                                         strict=True):
        variables = train_epochs(
            k_phase,
            network,
            variables,
            samples.inputs,
            samples.labels,
            optimizer=_sgd(rate, momentum, weight_decay),
            num_epochs=epochs,
            batch_size=batch_size,
            augmentation=augmentation)
      return variables

    return train

  return make_train


def _thirds(
    num_epochs, strategy, mix, step_size, momentum, weight_decay, batch_size):
  """SGD whose step size falls to a fifth at 2/3, and again at 5/6."""
  augmentation = augmentations.idc(strategy) if strategy else None
  mixing = cutmix(mix) if mix else None

  def train(key, network, variables, training_set: TrainingSet):
    samples = training_set.samples
    steps = -(-len(samples.inputs) // min(batch_size, len(samples.inputs)))
    schedule = optax.piecewise_constant_schedule(
        step_size, {
            steps * (2 * num_epochs // 3): 0.2,
            steps * (5 * num_epochs // 6): 0.2
        })
    return train_epochs(
        key,
        network,
        variables,
        samples.inputs,
        samples.labels,
        optimizer=_sgd(schedule, momentum, weight_decay),
        num_epochs=num_epochs,
        batch_size=batch_size,
        augmentation=augmentation,
        mixing=mixing)

  return train


dc = _by_epochs(
    "dc",
    _halves("dc", augmentations.dc),
    """The recipe of gradient matching.

  Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", 2020,
  arXiv 2006.05929. As in the published code there are E + 1 epochs; after epoch
  E // 2 + 1 the step size falls to a tenth and the momentum is reset. The
  published code augments only MNIST, and trains 1,000 epochs there.""",
    num_epochs=300,
    strategy="",
    **_SGD,
    batch_size=256)
dsa = _by_epochs(
    "dsa",
    _halves("dsa", augmentations.dsa),
    """As `dc`, with DSA's augmentation of every batch, drawn per image.

  Zhao & Bilen, "Dataset Condensation with Differentiable Siamese
  Augmentation", 2021, arXiv 2102.08259.""",
    num_epochs=1_000,
    strategy=_DSA,
    **_SGD,
    batch_size=256)
cafe = _by_epochs(
    "cafe",
    _halves("cafe", None),
    """As `dc` for twice the epochs, without augmentation.

  Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", 2022,
  arXiv 2203.01531.""",
    num_epochs=600,
    **_SGD,
    batch_size=256)
mtt = _by_epochs(
    "mtt",
    _halves("mtt", augmentations.dsa, learned=True),
    """As `dsa`, with the one step size that the set has learned.

  Cazenavette et al., "Dataset Distillation by Matching Training Trajectories",
  2022, arXiv 2203.11932. `step_size` is used for sets that have none.""",
    num_epochs=1_000,
    strategy=_DSA,
    **_SGD,
    batch_size=256)
datm = _by_epochs(
    "datm",
    _halves("datm", augmentations.dsa, learned=True),
    """As `mtt`, on smaller batches.

  Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned
  Trajectory Matching", 2023, arXiv 2310.05773.""",
    num_epochs=1_000,
    strategy=_DSA,
    **_SGD,
    batch_size=128)
idc = _by_epochs(
    "idc",
    _thirds,
    """Augmentation, CutMix, and a step size that falls at 2/3 and 5/6.

  Kim et al., "Dataset Condensation via Efficient Synthetic-Data
  Parameterization", 2022, arXiv 2205.14959. The step size falls to a fifth,
  then to a 25th.""",
    num_epochs=1_000,
    strategy="color_crop_flip_scale_rotate",
    mix=0.5,
    **_SGD,
    batch_size=64)


@functools.cache
def adam(
    num_epochs: int = 500,
    *,
    strategy: str = "",
    step_size: float = 1e-3,
    weight_decay: float = 1e-4,
    batch_size: int = 50) -> Recipe:
  """Adam at a constant step size, on shuffled batches of a set of any size.

  It is the server's training in Song et al., "Federated Learning via
  Decentralized Dataset Distillation in Resource-Constrained Edge Environments",
  2022, arXiv 2208.11311, with the settings of its public code.

  Args:
    num_epochs: E, at least 1.
    strategy: see `augmentation`; none by default.
    step_size: constant step size, positive.
    weight_decay: this times the weights is added to the gradient.
    batch_size: size of shuffled batches; the last one may be smaller.
  """
  check_counts(num_epochs=num_epochs, batch_size=batch_size)
  check_rule(step_size, weight_decay=weight_decay)
  optimizer = optax.chain(
      optax.add_decayed_weights(weight_decay), optax.adam(step_size))
  augmentation = augmentations.dsa(strategy) if strategy else None

  def train(key, network, variables, training_set: TrainingSet):
    samples = training_set.samples
    return train_epochs(
        key,
        network,
        variables,
        samples.inputs,
        samples.labels,
        optimizer=optimizer,
        num_epochs=num_epochs,
        batch_size=batch_size,
        augmentation=augmentation)

  return Recipe(
      "adam", train, (("num_epochs", num_epochs), ("strategy", strategy),
                      ("step_size", step_size), ("weight_decay", weight_decay),
                      ("batch_size", batch_size)))


@functools.cache
def converged(
    num_steps: int = 1_000,
    *,
    step_size: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    batch_size: int = 256,
    tolerance: float = 0.01) -> Recipe:
  """SGD on the set until its loss is small; ignores order and step sizes.

  Args:
    num_steps: maximal number of steps. Soft labels, whose loss stays large,
      take all of them.
    step_size: constant step size, positive.
    momentum: in [0, 1).
    weight_decay: this times the weights is added to the gradient.
    batch_size: a larger set is trained in random batches of this size.
    tolerance: training stops once the loss of a batch is below this.
  """
  check_counts(num_steps=num_steps, batch_size=batch_size)
  check_rule(step_size, momentum, weight_decay)
  optimizer = _sgd(step_size, momentum, weight_decay)

  def train(key, network, variables, training_set: TrainingSet):
    samples = training_set.samples
    size = len(samples.inputs)

    def batch(key):
      if size <= batch_size:
        return samples.inputs, samples.labels
      rows = jax.random.permutation(key, size)[:batch_size]
      return samples.inputs[rows], samples.labels[rows]

    def step(carry):
      t, variables, state, _ = carry
      k_rows, k_apply = jax.random.split(jax.random.fold_in(key, t))
      x, y = batch(k_rows)

      variables, state, loss = training_step(
          k_apply, network, variables, state, x, y, optimizer=optimizer)
      return t + 1, variables, state, loss

    def unfinished(carry):
      return (carry[0] < num_steps) & (carry[3] >= tolerance)

    infinite = jnp.full((), jnp.inf, samples.labels.dtype)
    state = optimizer.init(variables["params"])
    start = (jnp.zeros((), jnp.int32), variables, state, infinite)
    return jax.lax.while_loop(unfinished, step, start)[1]

  return Recipe(
      "converged", train,
      (("num_steps", num_steps), ("step_size", step_size),
       ("momentum", momentum), ("weight_decay", weight_decay),
       ("batch_size", batch_size), ("tolerance", tolerance)))


@functools.cache
def untrained() -> Recipe:
  """No training; with the same key, the networks before their first step."""

  def train(key, network, variables, training_set):
    del key, network, training_set
    return variables

  return Recipe("untrained", train)


RECIPES = {
    "adam": adam,
    "cafe": cafe,
    "converged": converged,
    "datm": datm,
    "dc": dc,
    "dp_sgd": dp_sgd,
    "dsa": dsa,
    "frepo": frepo,
    "idc": idc,
    "in_order": in_order,
    "kip": kip,
    "mtt": mtt,
    "rat_bptt": rat_bptt,
    "untrained": untrained,
    "views": views
}


def from_spec(spec: Mapping[str, Any]) -> Recipe:
  """Makes the recipe of a JSON document; missing settings take their defaults.

  Raises:
    ValueError: an unknown name, a setting that the recipe does not have, or a
      value of a wrong type.
  """
  settings = dict(spec)
  name = settings.pop("name", None)
  if name not in RECIPES:
    raise ValueError(
        f"`recipe` must be one of {', '.join(RECIPES)}; got {name!r}.")
  known = RECIPES[name]().spec
  unknown = sorted(set(settings) - set(known))
  if unknown:
    raise ValueError(
        f"`recipe` {name} must have settings among "
        f"{', '.join(sorted(set(known) - {'name'})) or 'none'}; got {unknown}.")
  specification.check("recipe", settings, known)
  return RECIPES[name](**settings)


# Lets `schema` check that the recipe of a saved set can be built.
schema.RECIPES.update(dict.fromkeys(RECIPES, from_spec))


def hard_labels(
    training_set: TrainingSet, *, centred: bool = False) -> TrainingSet:
  """Returns the set with each label row replaced by a hard label.

  Args:
    training_set: any set.
    centred: whether its labels are centred; the new ones are then centred too.
  """
  labels = training_set.samples.labels
  rows = hardened(labels, centred=centred)
  return training_set._replace(
      samples=training_set.samples._replace(labels=rows, view_labels=()))
