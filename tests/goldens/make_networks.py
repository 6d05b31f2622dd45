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

  def conv(x, name, size, width, padding, stride=1, bias=True):
    kernel = fill(f"{name}/kernel", (size, size, x.shape[1], width))
    bias = torch.tensor(fill(f"{name}/bias", (width,))) if bias else None
    return F.conv2d(
        x, torch.tensor(kernel.transpose(3, 2, 0, 1)), bias, stride, padding
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

  def instance(x, name):
    scale, bias = (
        torch.tensor(fill(f"{name}/{p}", (x.shape[1],)))
        for p in ("scale", "bias")
    )
    return F.instance_norm(x, weight=scale, bias=bias)

  def alexnet(x):
    for i, (width, size, halve) in enumerate((
        (128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False),
        (192, 3, True),
    )):
      x = conv(x, f"body/Conv_{i}", size, width, size // 2).relu()
      x = F.max_pool2d(x, 2) if halve else x
    return dense(flat(x), "head", CLASSES)

  def vgg11(x):
    i = 0
    for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
      for width in stage:
        x = conv(x, f"body/Conv_{i}", 3, width, 3 if i == 0 else 1)
        x = instance(x, f"body/GroupNorm_{i}").relu()
        i += 1
      x = F.max_pool2d(x, 2)
    return dense(flat(x), "head", CLASSES)

  def resnet18(x, average):
    x = conv(x, "body/Conv_0", 3, 64, 1, bias=False)
    x = instance(x, "body/GroupNorm_0").relu()
    for i in range(8):
      name, width = f"body/_Block_{i}", 64 * 2 ** (i // 2)
      halve = i in (2, 4, 6)
      stride = 2 if halve and not average else 1

      def pool(y, halve=halve):
        return F.avg_pool2d(y, 2) if halve and average else y

      y = conv(x, f"{name}/Conv_0", 3, width, 1, stride, False)
      y = pool(instance(y, f"{name}/GroupNorm_0").relu())
      y = conv(y, f"{name}/Conv_1", 3, width, 1, 1, False)
      y = instance(y, f"{name}/GroupNorm_1")
      if halve:
        x = pool(conv(x, f"{name}/Conv_2", 1, width, 0, stride, False))
        x = instance(x, f"{name}/GroupNorm_2")
      x = (x + y).relu()
    return dense(flat(x) if average else x.mean((2, 3)), "head", CLASSES)

  def mobilenet_v2(x):
    x = conv(x, "body/Conv_0", 3, 32, 1, bias=False)
    x, i = instance(x, "body/GroupNorm_0").relu(), 0
    for expansion, width, blocks, first in (
        (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):
      for block in range(blocks):
        name, stride = f"body/_InvertedResidual_{i}", 1 if block else first
        inner = expansion * x.shape[1]
        y = conv(x, f"{name}/Conv_0", 1, inner, 0, bias=False)
        y = instance(y, f"{name}/GroupNorm_0").relu()
        kernel = fill(f"{name}/_Depthwise_0/kernel", (3, 3, 1, inner))
        kernel = torch.tensor(kernel.transpose(3, 2, 0, 1))
        y = F.conv2d(y, kernel, None, stride, 1, groups=inner)
        y = instance(y, f"{name}/GroupNorm_1").relu()
        y = conv(y, f"{name}/Conv_1", 1, width, 0, bias=False)
        y = instance(y, f"{name}/GroupNorm_2")
        if stride == 1:
          if x.shape[1] != width:
            x = conv(x, f"{name}/Conv_2", 1, width, 0, bias=False)
            x = instance(x, f"{name}/GroupNorm_3")
          y = x + y
        x, i = y, i + 1
    x = conv(x, "body/Conv_1", 1, 1280, 0, bias=False)
    x = instance(x, "body/GroupNorm_1").relu()
    return dense(x.mean((2, 3)), "head", CLASSES)

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
    if norm == "instance":
      return instance(x, f"body/GroupNorm_{block}")
    scale, bias = (
        torch.tensor(fill(f"body/GroupNorm_{block}/{p}", (x.shape[1],)))
        for p in ("scale", "bias")
    )
    return F.group_norm(x, 4, scale, bias)

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

  with torch.no_grad():
    for name, network, shape in (
        ("alexnet", alexnet, (1, 12, 12, 3)),
        ("vgg11", vgg11, (1, 28, 28, 1)),
        ("resnet18", lambda x: resnet18(x, False), (1, 16, 16, 3)),
        ("resnet18_ap", lambda x: resnet18(x, True), (1, 16, 16, 3)),
        ("mobilenet_v2", mobilenet_v2, (1, 16, 16, 3)),
    ):
      x = torch.tensor(images(*shape).transpose(0, 3, 1, 2))
      results[f"{name}/logits"] = network(x).numpy()

  x = torch.tensor(30 * images(2, 3, 3, 7).transpose(0, 3, 1, 2))
  for window in (3, 4):
    norm = torch.nn.LocalResponseNorm(window, 0.02, 0.6, 1.5)
    results[f"response_norm_{window}"] = norm(x).permute(0, 2, 3, 1).numpy()
  np.savez_compressed(FILE, **results)


if __name__ == "__main__":
  main()
