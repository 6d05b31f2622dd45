"""Outputs and input gradients of the networks, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). Weights and images are drawn by
`fill`, whose NumPy stream is frozen, so only results are stored. Layouts are
the library's: kernels [h, w, C, O] or [D, O], images [B, H, W, C].

    python tests/goldens/make_networks.py
"""

import pathlib
import zlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("networks.npz")
NORMS = ("instance", "layer", "group", "none")
CLASSES = 3


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """Normal values named by a parameter's path; near 1 for a norm's scale."""
  generator = np.random.RandomState(zlib.crc32(name.encode()))
  values = generator.standard_normal(shape)
  if name.endswith("scale"):
    return 1 + 0.1 * values
  if name.endswith("bias"):
    return 0.1 * values
  return values / np.sqrt(np.prod(shape[:-1]))


def images(*shape: int) -> np.ndarray:
  return np.random.RandomState(sum(shape)).standard_normal(shape)


def main():
  import torch
  import torch.nn.functional as F

  torch.set_default_dtype(torch.float64)
  torch.set_num_threads(1)

  def conv(x, name, size, width, padding):
    kernel = fill(f"{name}/kernel", (size, size, x.shape[1], width))
    return F.conv2d(
        x, torch.tensor(kernel.transpose(3, 2, 0, 1)),
        torch.tensor(fill(f"{name}/bias", (width,))), padding=padding,
    )

  def dense(x, name, width):
    kernel = fill(f"{name}/kernel", (x.shape[1], width))
    bias = fill(f"{name}/bias", (width,))
    return x @ torch.tensor(kernel) + torch.tensor(bias)

  def flat(x):
    return x.permute(0, 2, 3, 1).flatten(1)

  def lenet(x):
    padding = 2 if x.shape[2] == 28 else 0
    x = F.max_pool2d(conv(x, "body/Conv_0", 5, 6, padding).relu(), 2)
    x = F.max_pool2d(conv(x, "body/Conv_1", 5, 16, 0).relu(), 2)
    x = dense(flat(x), "body/Dense_0", 120).relu()
    x = dense(x, "body/Dense_1", 84).relu()
    return dense(x, "head", CLASSES)

  def response(x):
    return torch.nn.LocalResponseNorm(4, 0.001 / 9, 0.75, 1.0)(x)

  def alex_cifar_net(x):
    x = conv(x, "body/Conv_0", 5, 64, 2).relu()
    x = response(F.max_pool2d(x, 3, 2, 1))
    x = response(conv(x, "body/Conv_1", 5, 64, 2).relu())
    x = F.max_pool2d(x, 3, 2, 1)
    x = dense(flat(x), "body/Dense_0", 384).relu()
    x = dense(x, "body/Dense_1", 192).relu()
    return dense(x, "head", CLASSES)

  def normalise(x, norm, block):
    if norm == "none":
      return x
    if norm == "layer":
      shape = (x.shape[2], x.shape[3], x.shape[1])
      scale, bias = (
          torch.tensor(fill(f"body/LayerNorm_{block}/{p}", shape))
          .permute(2, 0, 1) for p in ("scale", "bias")
      )
      return F.layer_norm(x, x.shape[1:], scale, bias)
    scale, bias = (
        torch.tensor(fill(f"body/GroupNorm_{block}/{p}", (x.shape[1],)))
        for p in ("scale", "bias")
    )
    if norm == "group":
      return F.group_norm(x, 4, scale, bias)
    return F.instance_norm(x, weight=scale, bias=bias)

  def convnet(x, norm="instance", depth=2, width=8):
    grey = x.shape[1:] == (1, 28, 28)
    for block in range(depth):
      padding = 3 if grey and block == 0 else 1
      x = conv(x, f"body/Conv_{block}", 3, width, padding)
      x = F.avg_pool2d(normalise(x, norm, block).relu(), 2)
    return dense(flat(x), "head", CLASSES)

  results = {}

  def record(name, network, shape):
    x = torch.tensor(images(*shape).transpose(0, 3, 1, 2), requires_grad=True)
    logits = network(x)
    (gradient,) = torch.autograd.grad(logits.sin().sum(), x)
    results[f"{name}/logits"] = logits.detach().numpy()
    results[f"{name}/gradient"] = gradient.permute(0, 2, 3, 1).numpy()

  record("lenet_28", lenet, (2, 28, 28, 1))
  record("lenet_32", lenet, (1, 32, 32, 3))
  record("alex_cifar_net", alex_cifar_net, (1, 32, 32, 3))
  record("convnet_28", lambda x: convnet(x, depth=3, width=4), (2, 28, 28, 1))
  for norm in NORMS:
    record(f"convnet_{norm}", lambda x, n=norm: convnet(x, n), (2, 10, 9, 3))

  x = torch.tensor(30 * images(2, 3, 3, 7).transpose(0, 3, 1, 2))
  for window in (3, 4):
    norm = torch.nn.LocalResponseNorm(window, 0.02, 0.6, 1.5)
    results[f"response_norm_{window}"] = norm(x).permute(0, 2, 3, 1).numpy()
  np.savez_compressed(FILE, **results)


if __name__ == "__main__":
  main()
