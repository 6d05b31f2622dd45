"""The outer step of `sldd_problem` in plain PyTorch, by double backward.

The yardstick of `sldd_step.py`, so written to be fast: functional LeNet, data
on the device as uint8 and drawn by index, gradients taken with respect to what
is learned and nothing else. Images are [B, C, H, W] here. Batches are drawn
with replacement, which costs less than the draw without it on the other side.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from sldd_problem import LEARNING_RATE, MEAN, NUM_CLASSES, STD

_SHAPES = (
    (6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (NUM_CLASSES, 84)
)


def lenet(params: list, x):
  """Logits [B, K] of images [B, 1, 28, 28].

  Args:
    params: weight and bias of each layer in turn.
    x: [B, 1, 28, 28], standardised.
  """
  w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = params
  x = F.relu(F.max_pool2d(F.conv2d(x, w1, b1, padding=2), 2))
  x = F.relu(F.max_pool2d(F.conv2d(x, w2, b2), 2))
  x = F.relu(F.linear(x.flatten(1), w3, b3))
  return F.linear(F.relu(F.linear(x, w4, b4)), w5, b5)


def initialise(device) -> list:
  """Fresh parameters: Xavier normal weights, zero biases."""
  params = []
  for shape in _SHAPES:
    weight = torch.empty(shape, device=device)
    torch.nn.init.xavier_normal_(weight)
    params += [weight, torch.zeros(shape[0], device=device)]
  return [p.requires_grad_() for p in params]


def meta_loss(params: list, learned: tuple, x, y):
  """Loss on real images after training on the distilled ones.

  Args:
    params: theta_0, requiring gradients.
    learned: images [M, 1, 28, 28], labels [M, K], raw step sizes [T].
    x: [B, 1, 28, 28] real images, standardised.
    y: [B] int64 classes.
  """
  images, labels, raw_step_sizes = learned
  for step_size in F.softplus(raw_step_sizes):
    log_p = F.log_softmax(lenet(params, images), 1)
    loss = -(labels * log_p).sum(1).mean()
    gradient = torch.autograd.grad(loss, params, create_graph=True)
    params = [
        p - step_size * g for p, g in zip(params, gradient, strict=True)
    ]
  return F.cross_entropy(lenet(params, x), y)


def leaves(distilled, device) -> tuple:
  """What is learned, copied from the record `Distilled`."""
  arrays = (
      np.asarray(distilled.codes).transpose(0, 3, 1, 2),
      distilled.labels,
      distilled.raw_step_sizes,
  )
  return tuple(_tensor(a, device).requires_grad_() for a in arrays)


def parameters(params, device) -> list:
  """The parameters of our LeNet, in this file's layout."""
  body, result = params["body"], []
  for name in ("Conv_0", "Conv_1"):
    kernel = np.asarray(body[name]["kernel"]).transpose(3, 2, 0, 1)
    result += [kernel, body[name]["bias"]]
  for layer in (body["Dense_0"], body["Dense_1"], params["head"]):
    result += [np.asarray(layer["kernel"]).T, layer["bias"]]
  # Ours flattens [5, 5, 16], PyTorch's layout [16, 5, 5].
  dense = result[4].reshape(120, 5, 5, 16).transpose(0, 3, 1, 2)
  result[4] = dense.reshape(120, 400)
  return [_tensor(a, device).requires_grad_() for a in result]


def gradients(params, distilled, inputs, classes, device) -> tuple:
  """Meta-gradient of one batch, in the layout of `Distilled`.

  Args:
    params: theta_0 of our LeNet.
    distilled: the record `Distilled`.
    inputs: [B, 28, 28, 1] standardised.
    classes: [B] int.
    device: a torch device.

  Returns:
    NumPy gradients of codes [M, 28, 28, 1], labels and raw step sizes.
  """
  learned = leaves(distilled, device)
  x = _tensor(np.asarray(inputs).transpose(0, 3, 1, 2), device)
  y = _tensor(classes, device).long()
  loss = meta_loss(parameters(params, device), learned, x, y)
  codes, labels, steps = (
      g.cpu().numpy() for g in torch.autograd.grad(loss, learned)
  )
  return codes.transpose(0, 2, 3, 1), labels, steps


def trainer(
    distilled, split, *, batch_size: int, num_steps: int, device
) -> Callable:
  """`() -> loss`: takes `num_steps` outer steps each time it is called.

  Args:
    distilled: the record `Distilled` to start from.
    split: real images and classes, a `data.Split`.
    batch_size: B.
    num_steps: outer updates in a call.
    device: a torch device.
  """
  learned = leaves(distilled, device)
  optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)
  images = _tensor(np.asarray(split.inputs).transpose(0, 3, 1, 2), device)
  classes = _tensor(split.labels, device).long()

  def run():
    for _ in range(num_steps):
      index = torch.randint(len(images), (batch_size,), device=device)
      x = images[index].float().div_(255).sub_(MEAN).div_(STD)
      optimizer.zero_grad()
      loss = meta_loss(initialise(device), learned, x, classes[index])
      loss.backward(inputs=learned)
      optimizer.step()
    return loss.item()

  return run


def choose_device(accelerator: bool):
  """A torch device: CUDA beside an accelerator, if PyTorch has it."""
  return torch.device(
      "cuda" if accelerator and torch.cuda.is_available() else "cpu"
  )


def use_cores(num_cores: int) -> None:
  """Lets PyTorch compute on all of them."""
  torch.set_num_threads(num_cores)


def allow_tf32(allowed: bool) -> None:
  """Whether products of float32 may be rounded on a GPU, as XLA's are."""
  torch.backends.cuda.matmul.allow_tf32 = allowed
  torch.backends.cudnn.allow_tf32 = allowed


def _tensor(array, device):
  return torch.tensor(np.array(array), device=device)
