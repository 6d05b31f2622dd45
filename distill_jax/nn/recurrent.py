"""Recurrent text classifiers: Bi-RNN, Bi-LSTM and Conv-LSTM.

They are the networks of text distillation (Sucholutsky & Schonlau, 2019, arXiv
1910.02551) as in its code, with PyTorch's cells: gates in the order input,
forget, cell, output, and two biases.

    RNN    h' = tanh(x W + b + h R + b')
    LSTM   (i, f, g, o) = x W + b + h R + b'
           c' = sigmoid(f) c + sigmoid(i) tanh(g),  h' = sigmoid(o) tanh(c')

The published networks also process padding. With `masked`, a sentence ends at
its last vector that is not zero, and later positions leave the state unchanged.
The weights do not depend on the length of sentences, so distilled sentences may
have another length than real ones.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from distill_jax.nn.layers import (
    Classifier,
    Dense,
    Initialisation,
    check_sentences,
    xavier_normal,
)
from distill_jax.nn.network import from_linen
from distill_jax.nn.specification import specified
from distill_jax.types import Array, Network, PyTree

# A longer sentence is run in parts of about the square root of its length; each
# part is computed again in the backward pass.
WHOLE = 64


@specified
def bi_rnn(
    num_outputs: int,
    *,
    hidden: int = 100,
    num_layers: int = 2,
    dropout: float = 0.0,
    masked: bool = False,
    initialisation: Initialisation = xavier_normal()
) -> Network:
  """Two bidirectional layers of tanh units; arguments as in `bi_lstm`."""
  return _recurrent(
      num_outputs, _RNN, hidden, num_layers, dropout, masked, initialisation)


@specified
def bi_lstm(
    num_outputs: int,
    *,
    hidden: int = 100,
    num_layers: int = 2,
    dropout: float = 0.0,
    masked: bool = False,
    initialisation: Initialisation = xavier_normal()
) -> Network:
  """Two bidirectional layers of LSTM units, then linear on the last states.

  The classifier reads the top layer's states: the forward one after the last
  word, and the backward one after the first word.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    hidden: number of units per direction and layer.
    num_layers: number of layers, each with both directions.
    dropout: share of units dropped between layers in train mode; 0 as in the
      published distillation (its training on all data uses 0.5).
    masked: whether states stop at the end of a sentence.
    initialisation: initialisation of all weights and biases.
  """
  return _recurrent(
      num_outputs, _LSTM, hidden, num_layers, dropout, masked, initialisation)


@specified
def conv_lstm(
    num_outputs: int,
    *,
    channels: int = 16,
    hidden: int = 10,
    initialisation: Initialisation = xavier_normal()) -> Network:
  """A convolution along the embedding, pooling, one LSTM, then linear.

  The s positions of a sentence are the input channels. The window spans 5
  entries of the vectors, and 4 entries are pooled. The steps of the LSTM are
  the output channels, with (d - 4) // 4 features each. The shape of the weights
  depends on s.

  Args:
    num_outputs: K: one per class, but 1 for two classes.
    channels: channels of the convolution.
    hidden: number of units of the LSTM.
    initialisation: initialisation of all weights and biases.
  """
  if min(channels, hidden) < 1:
    raise ValueError(
        "`channels` and `hidden` must be at least 1; got "
        f"{channels} and {hidden}.")
  body = _ConvLSTM(channels, hidden, initialisation)
  return from_linen(Classifier(body, num_outputs, initialisation))


def _recurrent(
    num_outputs, cell, hidden, num_layers, dropout, masked, initialisation):
  if min(hidden, num_layers) < 1 or not 0 <= dropout < 1:
    raise ValueError(
        "`hidden` and `num_layers` must be at least 1 and `dropout` in [0, 1);"
        f" got {hidden}, {num_layers} and {dropout}.")
  body = _BiRecurrent(cell, hidden, num_layers, dropout, masked, initialisation)
  return from_linen(Classifier(body, num_outputs, initialisation))


class _Cell(NamedTuple):
  """A recurrent cell.

  Attributes:
    gates: G, number of gates per hidden unit.
    parts: number of arrays in a state; h is the first.
    step: `(state, gates [B, G H]) -> state`.
  """

  gates: int
  parts: int
  step: Callable

  def __call__(self, state, gates):
    return self.step(state, gates)


def _lstm(state, gates):
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  c = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * jnp.tanh(g)
  return nn.sigmoid(o) * jnp.tanh(c), c


_RNN = _Cell(1, 1, lambda state, gates: (jnp.tanh(gates),))
_LSTM = _Cell(4, 2, _lstm)


class _BiRecurrent(nn.Module):
  cell: _Cell
  hidden: int
  num_layers: int
  dropout: float
  masked: bool
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    check_sentences(x)
    present = _present(x) if self.masked else None
    x = x.swapaxes(0, 1)  # time first
    features = []
    for layer in range(self.num_layers):
      if layer:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
      wide = self.cell.gates, self.hidden, self.initialisation
      ways = [
          _Weights(*wide, name=f"{way}_{layer}")(x)
          for way in ("forward", "backward")
      ]
      x, last = _both_ways(self.cell, ways, x, present)
      features.append(last)
    return tuple(features)


class _ConvLSTM(nn.Module):
  channels: int
  hidden: int
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x, train):
    del train
    check_sentences(x)
    size = x.shape[2]
    if size < 8:
      raise ValueError(
          "`sentences` must have vectors of at least 8 entries for a Conv-LSTM;"
          f" got {x.shape}.")
    x = x.swapaxes(1, 2)  # [B, d, s]: positions are channels
    windows = jnp.concatenate([x[:, i:size - 4 + i] for i in range(5)], axis=-1)
    found = nn.relu(Dense(self.channels, self.initialisation)(windows))
    steps = found.shape[1] // 4
    pooled = found[:, :4 * steps].reshape(len(x), steps, 4, -1).max(2)
    pooled = pooled.transpose(2, 0, 1)  # [channels, B, (d - 4) // 4]
    weights = _Weights(4, self.hidden, self.initialisation, name="lstm")(pooled)
    _, (last,) = _run(_LSTM, [weights], [pooled], None)
    return pooled.swapaxes(0, 1), last


class _Weights(nn.Module):
  """The weights of one direction of a layer."""

  gates: int
  hidden: int
  initialisation: Initialisation

  @nn.compact
  def __call__(self, x) -> "_Direction":
    init, wide = self.initialisation, self.gates * self.hidden
    return _Direction(
        self.param("kernel", init.kernel, (x.shape[-1], wide), x.dtype),
        self.param("bias", init.bias(self.hidden), (wide,), x.dtype),
        self.param("recurrent", init.kernel, (self.hidden, wide), x.dtype),
        self.param("recurrent_bias", init.bias(self.hidden), (wide,), x.dtype))


class _Direction(NamedTuple):
  """The weights of one direction.

  Attributes:
    kernel: [D, G H], weights of the inputs.
    bias: [G H].
    recurrent: [H, G H], weights of the state.
    recurrent_bias: [G H].
  """

  kernel: Array
  bias: Array
  recurrent: Array
  recurrent_bias: Array


def _both_ways(cell, ways, x: Array, present) -> tuple[Array, Array]:
  """States [s, B, 2 H] of both directions, and the last ones [B, 2 H]."""
  flipped = None
  if present is not None:
    flipped = [present, jnp.flip(present, 0)]
  outputs, last = _run(cell, ways, [x, jnp.flip(x, 0)], flipped)
  forwards, backwards = outputs
  return (
      jnp.concatenate([forwards, jnp.flip(backwards, 0)],
                      axis=-1), jnp.concatenate(last, axis=-1))


def _run(cell, ways, inputs, present):
  """Runs several independent recurrences in parallel, in one loop over time.

  Args:
    cell: the cell.
    ways: weights of each recurrence.
    inputs: [s, B, D] of each.
    present: [s, B, 1] bool of each, the positions that change the state; or
      None.

  Returns:
    For each, h at all times [s, B, H] and the last one [B, H].
  """
  gates = [
      x @ w.kernel + (w.bias + w.recurrent_bias)
      for w, x in zip(ways, inputs, strict=True)
  ]

  def advance(state, weights, gates, moves):
    following = cell(state, gates + state[0] @ weights.recurrent)
    if moves is None:
      return following
    return jax.tree.map(
        lambda new, old: jnp.where(moves, new, old), following, state)

  def step(states, now):
    moves = now[1] or [None] * len(ways)
    states = [
        advance(*of) for of in zip(states, ways, now[0], moves, strict=True)
    ]
    return states, [state[0] for state in states]

  batch, hidden = inputs[0].shape[1], ways[0].recurrent.shape[0]
  zeros = jnp.zeros((batch, hidden), inputs[0].dtype)
  start = [(zeros,) * cell.parts for _ in ways]
  last, outputs = _over_time(step, start, (gates, present))
  return outputs, [state[0] for state in last]


def _over_time(step, state: PyTree, xs: PyTree):
  """`lax.scan` that stores only some of the states of long sequences."""
  length = len(jax.tree.leaves(xs)[0])
  if length <= WHOLE:
    return jax.lax.scan(step, state, xs)

  @partial(jax.checkpoint, prevent_cse=False)
  def part(state, xs):
    return jax.lax.scan(step, state, xs)

  size = math.isqrt(length)
  whole = length // size * size
  parts = jax.tree.map(
      lambda leaf: leaf[:whole].reshape(-1, size, *leaf.shape[1:]), xs)
  state, outputs = jax.lax.scan(part, state, parts)
  outputs = jax.tree.map(
      lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), outputs)
  if whole == length:
    return state, outputs
  state, rest = part(state, jax.tree.map(lambda leaf: leaf[whole:], xs))
  return state, jax.tree.map(lambda *both: jnp.concatenate(both), outputs, rest)


def _present(x: Array) -> Array:
  """[s, B, 1] bool: true up to the last vector that is not zero."""
  words = (x != 0).any(-1).astype(jnp.int32)
  up_to = jax.lax.cummax(words, axis=1, reverse=True) > 0
  return up_to.T[..., None]
