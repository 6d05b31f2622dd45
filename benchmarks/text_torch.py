"""The outer step of `text_problem` in plain PyTorch, by double backward.

The yardstick of `text_step.py`, so written to be fast: functional networks,
ids on the device, gradients with respect to what is learned and nothing else.
Of the recurrent network's two forms each is used where it is the faster: the
library's fused one for the real batch, which is differentiated once, and cells
written out where it has no second derivative.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from text_problem import LEARNING_RATE

WINDOWS = (3, 4, 5)


def text_convnet(params: dict, x, fused: bool):
  """Logits [B, K] of sentences [B, s, d]."""
  del fused
  found = []
  for window in WINDOWS:
    maps = F.conv1d(
        x.transpose(1, 2), params[f"kernel_{window}"], params[f"bias_{window}"]
    )
    found.append(F.relu(maps.amax(2)))
  return torch.cat(found, 1) @ params["head"] + params["head_bias"]


def bi_lstm(params: dict, x, fused: bool):
  """Logits [B, K] of sentences [B, s, d]."""
  hidden = params["l0_hh"].shape[1]
  names = [f"l{i}{way}" for i in (0, 1) for way in ("", "r")]
  if fused:
    zeros = x.new_zeros(4, len(x), hidden)
    weights = [
        params[f"{name}_{kind}"] for name in names
        for kind in ("ih", "hh", "bih", "bhh")
    ]
    _, h, _ = torch.lstm(
        x, (zeros, zeros), weights, True, 2, 0.0, True, True, True
    )
    last = torch.cat([h[2], h[3]], 1)
  else:
    x = x.transpose(0, 1)
    for layer in (0, 1):
      ahead, h = _direction(params, f"l{layer}", x)
      back, g = _direction(params, f"l{layer}r", x.flip(0))
      x, last = torch.cat([ahead, back.flip(0)], 2), torch.cat([h, g], 1)
  return last @ params["head"] + params["head_bias"]


def _direction(params, name, x):
  """States [s, B, H] and the last one, of x [s, B, D]."""
  recurrent = params[f"{name}_hh"].t()
  gates = x @ params[f"{name}_ih"].t()
  gates = gates + (params[f"{name}_bih"] + params[f"{name}_bhh"])
  h = c = x.new_zeros(x.shape[1], recurrent.shape[0])
  states = []
  for now in gates.unbind(0):
    i, f, g, o = (now + h @ recurrent).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    states.append(h)
  return torch.stack(states), h


NETWORKS = {"text_convnet": text_convnet, "bi_lstm": bi_lstm}


def parameters(params) -> dict:
  """The weights of our network, in this file's layout."""
  body, found = params["body"], {}
  for window in WINDOWS:
    if f"kernel_{window}" in body:
      kernel = np.asarray(body[f"kernel_{window}"])[:, :, 0]
      found[f"kernel_{window}"] = kernel.transpose(2, 1, 0)
      found[f"bias_{window}"] = body[f"bias_{window}"]
  for name in (n for n in body if n.startswith(("forward", "backward"))):
    end = f"l{name[-1]}" + "r" * name.startswith("backward")
    for kind, ours in (
        ("ih", "kernel"), ("hh", "recurrent"), ("bih", "bias"),
        ("bhh", "recurrent_bias"),
    ):
      found[f"{end}_{kind}"] = np.asarray(body[name][ours]).T
  found["head"] = params["head"]["kernel"]
  found["head_bias"] = params["head"]["bias"]
  return {name: _leaf(value) for name, value in found.items()}


def meta_loss(network: Callable, params: dict, learned, order, x, y):
  """Loss on real sentences after training on the distilled ones.

  Args:
    network: of `NETWORKS`.
    params: theta_0, requiring gradients.
    learned: sentences [M, s, d], labels [M, K], raw step sizes [T].
    order: [S, n].
    x: [B, s, d] real sentences.
    y: [B] int64 classes.
  """
  sentences, labels, raw_step_sizes = learned
  for t, step_size in enumerate(F.softplus(raw_step_sizes)):
    rows = order[t % len(order)]
    log_p = F.log_softmax(network(params, sentences[rows], False), 1)
    loss = -(labels[rows] * log_p).sum(1).mean()
    gradient = torch.autograd.grad(
        loss, list(params.values()), create_graph=True
    )
    params = {
        name: p - step_size * g
        for (name, p), g in zip(params.items(), gradient, strict=True)
    }
  return F.cross_entropy(network(params, x, True), y)


def leaves(distilled) -> tuple:
  """What is learned, copied from the record `Distilled`."""
  return tuple(map(_leaf, (
      distilled.codes, distilled.labels, distilled.raw_step_sizes
  )))


def gradients(network, params, distilled, order, inputs, classes) -> tuple:
  """Meta-gradient of one batch, in the layout of `Distilled`."""
  learned = leaves(distilled)
  loss = meta_loss(
      network, parameters(params), learned, torch.tensor(order).long(),
      torch.tensor(np.array(inputs)), torch.tensor(np.array(classes)).long(),
  )
  return tuple(
      g.numpy() for g in torch.autograd.grad(loss, learned)
  )


def trainer(
    network, variables, distilled, order, split, *, batch_size: int,
    num_steps: int,
) -> Callable:
  """`() -> loss`: takes `num_steps` outer steps each time it is called.

  Args:
    network: of `NETWORKS`.
    variables: weights whose shapes each fresh initialisation has.
    distilled: the record `Distilled` to start from.
    order: [S, n].
    split: real sentences, a `data.Split`.
    batch_size: B.
    num_steps: outer updates in a call.
  """
  learned = leaves(distilled)
  optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)
  table = torch.tensor(np.array(split.preprocessing.table))
  ids = torch.tensor(np.array(split.inputs)).long()
  classes = torch.tensor(np.array(split.labels)).long()
  order, like = torch.tensor(order).long(), parameters(variables["params"])

  def run():
    for _ in range(num_steps):
      index = torch.randint(len(ids), (batch_size,))
      optimizer.zero_grad()
      loss = meta_loss(
          network, _fresh(like), learned, order, table[ids[index]],
          classes[index],
      )
      loss.backward(inputs=learned)
      optimizer.step()
    return loss.item()

  return run


def _fresh(like: dict) -> dict:
  """Xavier normal weights and zero biases."""
  params = {}
  for name, value in like.items():
    params[name] = torch.zeros_like(value, requires_grad=False)
    if value.ndim > 1:
      torch.nn.init.xavier_normal_(params[name])
    params[name].requires_grad_()
  return params


def _leaf(array):
  return torch.tensor(np.array(array)).requires_grad_()
