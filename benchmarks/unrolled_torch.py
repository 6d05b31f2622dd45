"""The outer steps of `unrolled` in plain PyTorch, by double backward.

Written to be fast: functional networks, data on the device as stored and drawn
by index, gradients with respect to learned arrays only. Images are [B, C, H, W]
here. Batches are drawn with replacement, which costs less than drawing without
replacement, as our program does. The recurrent network has two forms: PyTorch's
fused one for the real batch, which is differentiated once, and cells written
out for the inner steps, because the fused form has no second derivative.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from unrolled import LEARNING_RATE, MEAN, STD

WINDOWS = (3, 4, 5)


def lenet(params: dict, x, fused: bool):
  """Logits [B, K] of images [B, 1, 28, 28], standardised."""
  del fused
  w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = params.values()
  x = F.relu(F.max_pool2d(F.conv2d(x, w1, b1, padding=2), 2))
  x = F.relu(F.max_pool2d(F.conv2d(x, w2, b2), 2))
  x = F.relu(F.linear(x.flatten(1), w3, b3))
  return F.linear(F.relu(F.linear(x, w4, b4)), w5, b5)


def text_convnet(params: dict, x, fused: bool):
  """Logits [B, K] of sentences [B, s, d]."""
  del fused
  found = []
  for window in WINDOWS:
    maps = F.conv1d(
        x.transpose(1, 2), params[f"kernel_{window}"], params[f"bias_{window}"])
    found.append(F.relu(maps.amax(2)))
  return torch.cat(found, 1) @ params["head"] + params["head_bias"]


def bi_lstm(params: dict, x, fused: bool):
  """Logits [B, K] of sentences [B, s, d]."""
  hidden = params["l0_hh"].shape[1]
  names = [f"l{i}{way}" for i in (0, 1) for way in ("", "r")]
  if fused:
    zeros = x.new_zeros(4, len(x), hidden)
    weights = [
        params[f"{name}_{kind}"]
        for name in names
        for kind in ("ih", "hh", "bih", "bhh")
    ]
    _, h, _ = torch.lstm(
        x, (zeros, zeros), weights, True, 2, 0.0, True, True, True)
    last = torch.cat([h[2], h[3]], 1)
  else:
    x = x.transpose(0, 1)
    for layer in (0, 1):
      ahead, h = _direction(params, f"l{layer}", x)
      back, g = _direction(params, f"l{layer}r", x.flip(0))
      x, last = torch.cat([ahead, back.flip(0)], 2), torch.cat([h, g], 1)
  return last @ params["head"] + params["head_bias"]


def _direction(params, name, x):
  """States [s, B, H] of one direction, and the last one, for x [s, B, D]."""
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


NETWORKS = {"lenet": lenet, "text_convnet": text_convnet, "bi_lstm": bi_lstm}


def parameters(name: str, params, device) -> dict:
  """The weights of our network, in this file's layout."""
  found = (_of_lenet if name == "lenet" else _of_text)(params)
  return {name: _leaf(value, device) for name, value in found.items()}


def _of_lenet(params) -> dict:
  body, found = params["body"], {}
  for i in (0, 1):
    kernel = np.asarray(body[f"Conv_{i}"]["kernel"])
    found |= {
        f"w{i}": kernel.transpose(3, 2, 0, 1),
        f"b{i}": body[f"Conv_{i}"]["bias"]
    }
  layers = (body["Dense_0"], body["Dense_1"], params["head"])
  for i, layer in enumerate(layers, 2):
    found |= {f"w{i}": np.asarray(layer["kernel"]).T, f"b{i}": layer["bias"]}
  # Our network flattens [5, 5, 16], PyTorch's layout is [16, 5, 5].
  dense = found["w2"].reshape(120, 5, 5, 16).transpose(0, 3, 1, 2)
  return found | {"w2": dense.reshape(120, 400)}


def _of_text(params) -> dict:
  body, found = params["body"], {}
  for window in WINDOWS:
    if f"kernel_{window}" in body:
      kernel = np.asarray(body[f"kernel_{window}"])[:, :, 0]
      found[f"kernel_{window}"] = kernel.transpose(2, 1, 0)
      found[f"bias_{window}"] = body[f"bias_{window}"]
  kinds = dict(ih="kernel", hh="recurrent", bih="bias", bhh="recurrent_bias")
  for name in (n for n in body if n.startswith(("forward", "backward"))):
    end = f"l{name[-1]}" + "r" * name.startswith("backward")
    for kind, ours in kinds.items():
      found[f"{end}_{kind}"] = np.asarray(body[name][ours]).T
  head = params["head"]
  return found | {"head": head["kernel"], "head_bias": head["bias"]}


def meta_loss(network: Callable, params: dict, learned, order, x, y):
  """Loss on real x [B, ...], y [B] after training on the distilled samples.

  `params` are theta_0, `learned` samples [M, ...], labels [M, K] and raw step
  sizes [T], `order` is [S, n].
  """
  samples, labels, raw_step_sizes = learned
  for t, step_size in enumerate(F.softplus(raw_step_sizes)):
    rows = order[t % len(order)]
    log_p = F.log_softmax(network(params, samples[rows], False), 1)
    loss = -(labels[rows] * log_p).sum(1).mean()
    gradient = torch.autograd.grad(
        loss, list(params.values()), create_graph=True)
    pairs = zip(params.items(), gradient, strict=True)
    params = {name: p - step_size * g for (name, p), g in pairs}
  return F.cross_entropy(network(params, x, True), y)


def gradients(name: str, plan, batch, device) -> dict:
  """Meta-gradient of a real batch by fields of `Distilled`, as NumPy arrays."""
  learned = _learned(plan.start, device)
  loss = meta_loss(
      NETWORKS[name], parameters(name, plan.state.objective["params"], device),
      learned,
      _tensor(plan.task.layout.order, device).long(),
      _tensor(batch.inputs, device),
      _tensor(batch.labels, device).long())
  codes, labels, raw = (
      g.cpu().numpy() for g in torch.autograd.grad(loss, learned))
  if codes.ndim == 4:
    codes = codes.transpose(0, 2, 3, 1)
  return dict(codes=codes, labels=labels, raw_step_sizes=raw)


def trainer(name: str, plan, batch_size: int, num_steps: int, device):
  """`() -> loss`: takes `num_steps` outer steps of a plan at each call."""
  learned, source = _learned(plan.start, device), plan.task.source
  optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)
  fresh = plan.task.model.init(plan.keys.init, source.example)["params"]
  like = parameters(name, fresh, device)
  order = _tensor(plan.task.layout.order, device).long()
  stored = _tensor(source.train.inputs, device)
  classes = _tensor(source.train.labels, device).long()
  if name == "lenet":

    def encode(images):
      return images.float().div_(255).sub_(MEAN).div_(STD)
  else:
    stored, table = stored.long(), _tensor(source.preprocessing.table, device)
    encode = table.__getitem__

  def run():
    for _ in range(num_steps):
      index = torch.randint(len(stored), (batch_size,), device=device)
      optimizer.zero_grad()
      x, y = encode(stored[index]), classes[index]
      loss = meta_loss(NETWORKS[name], _fresh(like), learned, order, x, y)
      loss.backward(inputs=learned)
      optimizer.step()
    return loss.item()

  return run


def _fresh(like: dict) -> dict:
  """New parameters: Xavier normal weights and zero biases."""
  params = {}
  for name, value in like.items():
    params[name] = torch.zeros_like(value, requires_grad=False)
    if value.ndim > 1:
      torch.nn.init.xavier_normal_(params[name])
    params[name].requires_grad_()
  return params


def _learned(distilled, device) -> tuple:
  return tuple(
      _tensor(array, device).requires_grad_() for array in distilled[:3])


def _tensor(array, device):
  """A copy on the device; images [B, H, W, C] become [B, C, H, W]."""
  array = np.array(array)
  if array.ndim == 4:
    array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
  return torch.tensor(array, device=device)


def _leaf(array, device):
  return torch.tensor(np.array(array), device=device).requires_grad_()
