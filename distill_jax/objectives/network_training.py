"""Trains the network of a matching objective between two matches.

DC trains it on the set itself (Zhao, Mopuri & Bilen, "Dataset Condensation with
Gradient Matching", 2020, arXiv 2006.05929). IDC trains it on real data (Kim et
al., "Dataset Condensation via Efficient Synthetic-Data Parameterization", 2022,
arXiv 2205.14959), so that its training does not depend on the set.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from distill_jax.augmentation import Augmentation
from distill_jax.inner_loop import train_epochs, training_step
from distill_jax.labels import label_rows
from distill_jax.mixing import Mixing
from distill_jax.types import Network, PyTree


class Training(NamedTuple):
  """How a network is trained between two matches.

  Attributes:
    init: `(params) -> state` of the optimizer of a fresh network.
    train: `(key, variables, state, samples, batch) -> variables, state`.
  """

  init: Callable[[PyTree], PyTree]
  train: Callable[..., tuple[PyTree, PyTree]]


def on_samples(
    network: Network,
    *,
    num_epochs: int = 50,
    step_size: float = 0.01,
    batch_size: int = 256,
    augmentation: Augmentation | None = None) -> Training:
  """Epochs of plain gradient descent on the set (DC's `inner_loop`).

  Args:
    network: the network that is trained.
    num_epochs: number of epochs between two matches; 0 for none.
    step_size: positive.
    batch_size: size of the shuffled batches.
    augmentation: augmentation of each batch, one draw per image.
  """
  if num_epochs < 0:
    raise ValueError(f"`num_epochs` must be at least 0; got {num_epochs}.")

  def train(key, variables, state, samples, batch):
    del batch
    return train_epochs(
        key,
        network,
        variables,
        samples.inputs,
        samples.labels,
        optimizer=optax.sgd(step_size),
        num_epochs=num_epochs,
        batch_size=batch_size,
        augmentation=augmentation), state

  return Training(lambda params: (), train)


def on_real(
    network: Network,
    *,
    num_classes: int,
    optimizer: optax.GradientTransformation | None = None,
    augmentation: Augmentation | None = None,
    mixing: Mixing | None = None) -> Training:
  """One pass over real batches, which are the `extra` of the matched batch.

  `sampling.with_extra(per_class(n), mixed(B, num_batches=T))` draws both.

  Args:
    network: the network that is trained.
    num_classes: number of classes of the labels.
    optimizer: its state is kept from match to match. By default IDC's SGD with
      step size 0.01, momentum 0.9 and weight decay 5e-4.
    augmentation: augmentation of each batch, one draw per image.
    mixing: mixing of each augmented batch and its labels.
  """
  if optimizer is None:
    optimizer = optax.chain(
        optax.add_decayed_weights(5e-4), optax.sgd(0.01, 0.9))

  def step(carry, item):
    variables, state = carry
    key, (inputs, labels, _) = item
    return training_step(
        key,
        network,
        variables,
        state,
        inputs,
        label_rows(labels, num_classes, inputs.dtype),
        optimizer=optimizer,
        augmentation=augmentation,
        mixing=mixing)[:2], None

  def train(key, variables, state, samples, batch):
    del samples
    if not jax.tree.leaves(batch.extra):
      raise ValueError(
          "`sample` must draw batches to train on beside those to match; give "
          "`with_extra(per_class(n), mixed(B, num_batches=T))`.")
    keys = jax.random.split(key, len(batch.extra.labels))
    return jax.lax.scan(step, (variables, state), (keys, batch.extra))[0]

  return Training(optimizer.init, train)
