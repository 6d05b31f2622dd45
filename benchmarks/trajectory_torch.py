"""MTT's outer step in plain PyTorch, as the published code takes it.

The yardstick of `trajectory_step.py`: a Python loop of student steps whose
gradients keep their graph (`create_graph`), one vector of all weights, then one
backward pass to the samples and the step size. Images are [B, C, H, W] here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from matching_torch import convnet, parameters


def loss_of(params, target, images, labels, step_size, num_steps: int):
  """|theta_N - target|^2 / |theta_0 - target|^2.

  Args:
    params: theta_0, a list of tensors.
    target: the same of the expert, later.
    images: [M, C, H, W].
    labels: [M] classes.
    step_size: scalar.
    num_steps: N, each on all images.
  """
  student = params
  for _ in range(num_steps):
    loss = F.cross_entropy(convnet(student, images)[1], labels)
    gradients = torch.autograd.grad(loss, student, create_graph=True)
    student = [
        p - step_size * g for p, g in zip(student, gradients, strict=True)
    ]
  return _squares(student, target) / _squares(params, target)


def stepper(codes, start, target, *, step_size, rates, num_steps, device):
  """`() -> loss`: one outer step by SGD with momentum 0.5.

  Args:
    codes: [M, H, W, C] where the set starts, classes in equal parts.
    start: theta_t, weights of our ConvNet.
    target: theta_{t+M}.
    step_size: of the student, learned.
    rates: of samples and of the step size.
    num_steps: N.
    device: a torch device.
  """
  images, labels = _images(codes, device), _labels(len(codes), device)
  alpha = torch.tensor(step_size, device=device, requires_grad=True)
  params = parameters(start, device)
  there = [p.detach() for p in parameters(target, device)]
  optimizers = [
      torch.optim.SGD([leaf], lr=rate, momentum=0.5)
      for leaf, rate in zip((images, alpha), rates, strict=True)
  ]

  def run():
    for optimizer in optimizers:
      optimizer.zero_grad()
    loss = loss_of(params, there, images, labels, alpha, num_steps)
    loss.backward(inputs=[images, alpha])
    for optimizer in optimizers:
      optimizer.step()
    return loss.item()

  return run


def gradient(codes, start, target, *, step_size, num_steps, device):
  """Of the loss, by samples [M, H, W, C] and step size."""
  images, labels = _images(codes, device), _labels(len(codes), device)
  alpha = torch.tensor(step_size, device=device, requires_grad=True)
  loss = loss_of(
      parameters(start, device), parameters(target, device), images, labels,
      alpha, num_steps,
  )
  by_images, by_alpha = torch.autograd.grad(loss, (images, alpha))
  return np.moveaxis(by_images.cpu().numpy(), 1, -1), by_alpha.item()


def saved_bytes(codes, start, target, *, step_size, num_steps, device) -> int:
  """What autograd keeps for the way back, each storage once."""
  images, labels = _images(codes, device), _labels(len(codes), device)
  alpha = torch.tensor(step_size, device=device, requires_grad=True)
  params, there = parameters(start, device), parameters(target, device)
  kept = {}

  def pack(tensor):
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage.nbytes()
    return tensor

  with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
    loss = loss_of(params, there, images, labels, alpha, num_steps)
  del loss
  return sum(kept.values())


def _squares(one, other):
  return sum(
      ((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)
  )


def _images(codes, device):
  array = np.ascontiguousarray(np.moveaxis(np.asarray(codes), -1, 1))
  return torch.tensor(array, device=device).requires_grad_()


def _labels(size: int, device):
  return torch.arange(size, device=device) * 10 // size
