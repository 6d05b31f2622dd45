"""Steps of DC, DM and MTT in plain PyTorch, as the published code takes them.

`matching_step.py` compares with a loop over classes and one backward pass of
the sum of their losses. `trajectory_step.py` compares with a Python loop of
student steps whose gradients keep their graph (`create_graph`). Real data are
on the device as uint8. Images are [B, C, H, W] here.
"""

import numpy as np
import torch
import torch.nn.functional as F


def convnet(params: list, x):
  """Embeddings [B, D] of the three blocks, and logits, of x [B, C, H, W].

  `params`: weight, bias, scale and shift of each block, then the head's two.
  """
  *blocks, w, b = params
  for i in range(0, len(blocks), 4):
    kernel, bias, scale, shift = blocks[i:i + 4]
    x = F.conv2d(x, kernel, bias, padding=1)
    x = F.group_norm(x, len(scale), scale, shift)
    x = F.avg_pool2d(F.relu(x), 2)
  features = x.flatten(1)
  return features, F.linear(features, w, b)


def initialise(like: list) -> list:
  """New parameters: U(-1, 1) / sqrt(fan in); scales 1, shifts 0."""
  params = [torch.zeros_like(p, requires_grad=False) for p in like]
  for weight, bias in zip(params[::2], params[1::2], strict=True):
    if weight.dim() == 1:
      weight.fill_(1.0)
      continue
    bound = weight[0].numel()**-0.5
    weight.uniform_(-bound, bound)
    bias.uniform_(-bound, bound)
  return [p.requires_grad_() for p in params]


def parameters(params, device) -> list:
  """The parameters of our ConvNet, in this file's layout."""
  body, found = params["body"], []
  for i in range(3):
    conv, norm = body[f"Conv_{i}"], body[f"GroupNorm_{i}"]
    kernel = np.asarray(conv["kernel"]).transpose(3, 2, 0, 1)
    found += [kernel, conv["bias"], norm["scale"], norm["bias"]]
  head = np.asarray(params["head"]["kernel"])
  width = found[-1].shape[0]
  side = int((len(head) // width)**0.5)
  head = head.reshape(side, side, width, -1).transpose(3, 2, 0, 1)
  found += [head.reshape(len(head), -1), params["head"]["bias"]]
  return [
      torch.tensor(np.array(a), device=device).requires_grad_() for a in found
  ]


def images(array, device):
  """[..., H, W, C] floats -> [..., C, H, W]."""
  array = np.ascontiguousarray(np.moveaxis(np.asarray(array), -1, -3))
  return torch.tensor(array, device=device)


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
  """DC's loss of a set [K, m, C, H, W], for K batches of real images."""
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
  """DM's loss; arguments as in `gradient_loss`."""
  total = 0
  for c, real in enumerate(batches):
    target = convnet(params, real)[0].detach().mean(0)
    total = total + ((target - convnet(params, own[c])[0].mean(0))**2).sum()
  return total


LOSSES = {"dc": gradient_loss, "dm": distribution_loss}


def stepper(kind: str, codes, pixels, batch_size, step_size, like, device):
  """`() -> loss`: one outer step with a fresh network, by SGD, momentum 0.5.

  `codes` [K, m, H, W, C] are the set, `pixels` [K, N, H, W, C] uint8 real
  images, of which each step takes `batch_size` of a class; `like` are
  parameters of our ConvNet, for their shapes.
  """
  own = images(codes, device).requires_grad_()
  real = images(pixels, device)
  optimizer = torch.optim.SGD([own], lr=step_size, momentum=0.5)
  like = parameters(like, device)

  def run():
    params = initialise(like)
    if kind == "dm":
      params = [p.requires_grad_(False) for p in params]
    batches = []
    for of_class in real:
      index = torch.randperm(len(of_class), device=device)[:batch_size]
      batches.append(of_class[index].float() / 255)
    optimizer.zero_grad()
    loss = LOSSES[kind](params, own, batches)
    loss.backward(inputs=[own])
    optimizer.step()
    return loss.item()

  return run


def epoch(codes, step_size, like, device):
  """`() -> loss`: one epoch of SGD on the whole set as one batch."""
  own = images(codes, device).flatten(0, 1)
  labels = torch.arange(len(codes), device=device)
  labels = labels.repeat_interleave(codes.shape[1])
  params = initialise(parameters(like, device))
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
  """Gradient of the loss with respect to codes [K, m, H, W, C]."""
  own = images(codes, device).requires_grad_()
  loss = LOSSES[kind](parameters(params, device), own, images(batches, device))
  (found,) = torch.autograd.grad(loss, own)
  return np.moveaxis(found.cpu().numpy(), 2, -1)


class Trajectory:
  """The loss |theta_N - target|^2 / |theta_0 - target|^2 of a set.

  `codes` [M, H, W, C] hold classes in equal parts; theta_0 is `start`, weights
  of our ConvNet; each of N = `num_steps` steps takes all images.
  """

  def __init__(self, codes, start, target, step_size, num_steps, device):
    self.learned = (
        images(codes, device).requires_grad_(),
        torch.tensor(step_size, device=device, requires_grad=True))
    self._labels = torch.arange(len(codes), device=device) * 10 // len(codes)
    self._start = parameters(start, device)
    self._target = [p.detach() for p in parameters(target, device)]
    self._num_steps = num_steps

  def loss(self):
    """The loss of the student after its steps."""
    own, step_size = self.learned
    student = self._start
    for _ in range(self._num_steps):
      loss = F.cross_entropy(convnet(student, own)[1], self._labels)
      gradients = torch.autograd.grad(loss, student, create_graph=True)
      student = [
          p - step_size * g for p, g in zip(student, gradients, strict=True)
      ]
    return self._distance(student) / self._distance(self._start)

  def _distance(self, params):
    return sum(
        ((a - b)**2).sum() for a, b in zip(params, self._target, strict=True))

  def stepper(self, rates):
    """`() -> loss`: one outer step by SGD with momentum 0.5."""
    optimizers = [
        torch.optim.SGD([leaf], lr=rate, momentum=0.5)
        for leaf, rate in zip(self.learned, rates, strict=True)
    ]

    def run():
      for optimizer in optimizers:
        optimizer.zero_grad()
      loss = self.loss()
      loss.backward(inputs=list(self.learned))
      for optimizer in optimizers:
        optimizer.step()
      return loss.item()

    return run

  def gradient(self) -> dict:
    """The gradient of the loss, by fields of `Distilled`."""
    by_images, by_step = torch.autograd.grad(self.loss(), self.learned)
    codes = np.moveaxis(by_images.cpu().numpy(), 1, -1)
    return dict(codes=codes, raw_step_sizes=[by_step.item()])

  def saved_bytes(self) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once."""
    kept = {}

    def pack(tensor):
      storage = tensor.untyped_storage()
      kept[storage.data_ptr()] = storage.nbytes()
      return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
      loss = self.loss()
    del loss
    return sum(kept.values())
