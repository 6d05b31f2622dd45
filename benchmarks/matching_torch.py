"""Steps of DC and DM in plain PyTorch, as the published code takes them.

The yardstick of `matching_step.py`: a Python loop over classes whose losses are
summed before one backward pass, gradients of the network by double backward,
data on the device as uint8. Images are [B, C, H, W] here.
"""

import numpy as np
import torch
import torch.nn.functional as F


def convnet(params: list, x):
  """Embeddings [B, D] of the three blocks, and logits.

  Args:
    params: weight, bias, scale and shift of each block, then the head's two.
    x: [B, C, H, W].
  """
  *blocks, w, b = params
  for i in range(0, len(blocks), 4):
    kernel, bias, scale, shift = blocks[i : i + 4]
    x = F.conv2d(x, kernel, bias, padding=1)
    x = F.group_norm(x, len(scale), scale, shift)
    x = F.avg_pool2d(F.relu(x), 2)
  features = x.flatten(1)
  return features, F.linear(features, w, b)


def initialise(shapes: list, device) -> list:
  """Fresh parameters, U(-1, 1) / sqrt(fan in); scales 1, shifts 0."""
  params = []
  for kind, shape, fan_in in shapes:
    if kind == "uniform":
      tensor = torch.empty(shape, device=device)
      tensor.uniform_(-(fan_in**-0.5), fan_in**-0.5)
    else:
      tensor = torch.full(shape, float(kind == "one"), device=device)
    params.append(tensor.requires_grad_())
  return params


def shapes(width: int, side: int, channels: int, num_classes: int) -> list:
  """(kind, shape, fan in) of each parameter of a ConvNet of depth 3."""
  found, before = [], channels
  for _ in range(3):
    fan_in = 9 * before
    found += [
        ("uniform", (width, before, 3, 3), fan_in),
        ("uniform", (width,), fan_in), ("one", (width,), 0),
        ("zero", (width,), 0),
    ]
    before = width
  size = width * (side // 8) ** 2
  return [*found, ("uniform", (num_classes, size), size),
          ("uniform", (num_classes,), size)]


def parameters(params, device) -> list:
  """Those of our ConvNet, in this file's layout."""
  body, found = params["body"], []
  for i in range(3):
    conv, norm = body[f"Conv_{i}"], body[f"GroupNorm_{i}"]
    kernel = np.asarray(conv["kernel"]).transpose(3, 2, 0, 1)
    found += [kernel, conv["bias"], norm["scale"], norm["bias"]]
  head = np.asarray(params["head"]["kernel"])
  width = found[-1].shape[0]
  side = int((len(head) // width) ** 0.5)
  head = head.reshape(side, side, width, -1).transpose(3, 2, 0, 1)
  found += [head.reshape(len(head), -1), params["head"]["bias"]]
  return [
      torch.tensor(np.array(a), device=device).requires_grad_() for a in found
  ]


def distance(real: list, own: list):
  """Sum over output nodes of 1 - cos; biases and norms left out."""
  total = 0
  for a, b in zip(real, own, strict=True):
    if a.dim() == 1:
      continue
    a, b = a.flatten(1), b.flatten(1)
    norms = a.norm(dim=1) * b.norm(dim=1)
    total = total + (1 - (a * b).sum(1) / (norms + 1e-6)).sum()
  return total


def gradient_loss(params: list, own, batches):
  """DC's: own [K, m, C, H, W]; batches [K] real ones."""
  total = 0
  for c, real in enumerate(batches):
    def gradient(x, create_graph, c=c):
      labels = torch.full((len(x),), c, device=x.device)
      loss = F.cross_entropy(convnet(params, x)[1], labels)
      return torch.autograd.grad(loss, params, create_graph=create_graph)

    target = [g.detach().clone() for g in gradient(real, False)]
    total = total + distance(target, gradient(own[c], True))
  return total


def distribution_loss(params: list, own, batches):
  """DM's."""
  total = 0
  for c, real in enumerate(batches):
    target = convnet(params, real)[0].detach().mean(0)
    total = total + ((target - convnet(params, own[c])[0].mean(0)) ** 2).sum()
  return total


LOSSES = {"dc": gradient_loss, "dm": distribution_loss}


def stepper(kind: str, codes, images, *, batch_size, step_size, width, device):
  """`() -> loss`: one outer step with a fresh network.

  Args:
    kind: 'dc' or 'dm'.
    codes: [K, m, H, W, C] where the set starts.
    images: [K, N, H, W, C] uint8 real ones.
    batch_size: real images of a class in a step.
    step_size: of SGD with momentum 0.5.
    width: of the ConvNet.
    device: a torch device.
  """
  own = _images(codes, device).requires_grad_()
  real = torch.tensor(np.moveaxis(images, -1, 2), device=device)
  optimizer = torch.optim.SGD([own], lr=step_size, momentum=0.5)
  sizes = shapes(width, codes.shape[2], codes.shape[-1], len(codes))

  def run():
    params = initialise(sizes, device)
    if kind == "dm":
      params = [p.requires_grad_(False) for p in params]
    batches = []
    for images in real:
      index = torch.randperm(len(images), device=device)[:batch_size]
      batches.append(images[index].float() / 255)
    optimizer.zero_grad()
    loss = LOSSES[kind](params, own, batches)
    loss.backward(inputs=[own])
    optimizer.step()
    return loss.item()

  return run


def epoch(codes, *, step_size, width, device):
  """`() -> loss`: one epoch of SGD on the whole set as one batch."""
  own = _images(codes, device).flatten(0, 1)
  labels = torch.arange(len(codes), device=device)
  labels = labels.repeat_interleave(codes.shape[1])
  sizes = shapes(width, codes.shape[2], codes.shape[-1], len(codes))
  params = initialise(sizes, device)
  optimizer = torch.optim.SGD(params, lr=step_size)

  def run():
    index = torch.randperm(len(own), device=device)
    optimizer.zero_grad()
    loss = F.cross_entropy(convnet(params, own[index])[1], labels[index])
    loss.backward()
    optimizer.step()
    return loss.item()

  return run


def gradient(kind: str, params, codes, batches, device) -> np.ndarray:
  """Of the loss with respect to codes [K, m, H, W, C]."""
  own = _images(codes, device).requires_grad_()
  real = [_images(batch[None], device)[0] for batch in batches]
  loss = LOSSES[kind](parameters(params, device), own, real)
  (found,) = torch.autograd.grad(loss, own)
  return np.moveaxis(found.cpu().numpy(), 2, -1)


def _images(array, device):
  """[K, m, H, W, C] floats -> [K, m, C, H, W]."""
  array = np.ascontiguousarray(np.moveaxis(np.asarray(array), -1, 2))
  return torch.tensor(array, device=device)
