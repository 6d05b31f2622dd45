"""Matching losses and their sample gradients, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). A ConvNet of depth 1, width 4 with
instance norm on 6x6 images; three classes, two distilled and five real samples
each. Written as the published code writes it: a Python loop over classes, over
parameter tensors and over output nodes. Weights come from `make_networks.fill`.

    PYTHONPATH=tests python -m goldens.make_matching
"""

import pathlib

import numpy as np
from goldens.make_networks import fill, images

FILE = pathlib.Path(__file__).with_name("matching.npz")
CLASSES, OWN, REAL, SIDE = 3, 2, 5, 6
ANGLE = np.deg2rad(11.0)
SHAPES = {
    "body/Conv_0/kernel": (3, 3, 2, 4),
    "body/Conv_0/bias": (4,),
    "body/GroupNorm_0/scale": (4,),
    "body/GroupNorm_0/bias": (4,),
    "head/kernel": (36, CLASSES),
    "head/bias": (CLASSES,),
}


def samples() -> tuple[np.ndarray, np.ndarray]:
  """Distilled [K, m, H, W, C] and real [K, n, H, W, C]."""
  return (
      images(CLASSES, OWN, SIDE, SIDE, 2), images(CLASSES, REAL, SIDE, SIDE, 2)
  )


def main():
  import torch
  import torch.nn.functional as F

  torch.set_default_dtype(torch.float64)

  def parameters():
    return {
        name: torch.tensor(fill(name, shape), requires_grad=True)
        for name, shape in SHAPES.items()
    }

  def embed(theta, x):
    x = F.conv2d(
        x.permute(0, 3, 1, 2), theta["body/Conv_0/kernel"].permute(3, 2, 0, 1),
        theta["body/Conv_0/bias"], padding=1,
    )
    x = F.group_norm(
        x, 4, theta["body/GroupNorm_0/scale"], theta["body/GroupNorm_0/bias"]
    )
    return F.avg_pool2d(x.relu(), 2).permute(0, 2, 3, 1).flatten(1)

  def logits(theta, x):
    return embed(theta, x) @ theta["head/kernel"] + theta["head/bias"]

  def gradient(theta, x, label, create_graph):
    labels = torch.full((len(x),), label)
    return torch.autograd.grad(
        F.cross_entropy(logits(theta, x), labels), list(theta.values()),
        create_graph=create_graph,
    )

  def rotated(x):
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    theta = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]]).repeat(len(x), 1, 1)
    x = x.permute(0, 3, 1, 2)
    grid = F.affine_grid(theta, x.shape, align_corners=True)
    return F.grid_sample(x, grid, align_corners=True).permute(0, 2, 3, 1)

  def by_output(real, own):
    total = 0
    for a, b in zip(real, own, strict=True):
      if a.dim() == 1:
        continue
      for i in range(a.shape[-1]):
        u, v = a[..., i].flatten(), b[..., i].flatten()
        total = total + 1 - (u @ v) / (u.norm() * v.norm() + 1e-6)
    return total

  def whole(trees):
    return [torch.cat([leaf.flatten() for leaf in tree]) for tree in trees]

  def cosine(real, own):
    u, v = whole((real, own))
    return 1 - (u @ v) / (u.norm() * v.norm() + 1e-6)

  def squared(real, own):
    u, v = whole((real, own))
    return ((u - v) ** 2).sum()

  def absolute(real, own):
    u, v = whole((real, own))
    return (u - v).abs().sum()

  def kernels(distance):
    return lambda real, own: distance(real[:1], own[:1])

  def means(a, b):
    return ((a.mean(0) - b.mean(0)) ** 2).sum()

  def covariance(x):
    x = x - x.mean(0)
    return x.T @ x / len(x)

  def moments(a, b):
    return means(a, b) + 0.3 * ((covariance(a) - covariance(b)) ** 2).sum()

  def discrepancy(a, b):
    def kernel(x, y):
      return torch.exp(-(torch.cdist(x, y) ** 2) / (2 * 3.0**2)).mean()

    return kernel(a, a) - 2 * kernel(a, b) + kernel(b, b)

  results = {}
  own_values, real_values = (torch.tensor(x) for x in samples())

  def record(name, of_class):
    own = own_values.clone().requires_grad_(True)
    theta = parameters()
    total = sum(of_class(theta, c, real_values[c], own[c]) for c in range(3))
    (change,) = torch.autograd.grad(total, own)
    results[f"{name}/loss"] = total.detach().numpy()
    results[f"{name}/gradient"] = change.numpy()

  def gradients(distance, augment=lambda x: x):
    def of_class(theta, c, real, own):
      target = [g.detach() for g in gradient(theta, augment(real), c, False)]
      return distance(target, gradient(theta, augment(own), c, True))

    return of_class

  def features(distance, augment=lambda x: x):
    def of_class(theta, c, real, own):
      del c
      target = embed(theta, augment(real)).detach()
      return distance(target, embed(theta, augment(own)))

    return of_class

  record("by_output", gradients(by_output))
  record("by_output_rotated", gradients(by_output, rotated))
  record("cosine", gradients(cosine))
  record("squared", gradients(squared))
  record("absolute", gradients(absolute))
  record("kernels", gradients(kernels(squared)))
  record("means", features(means))
  record("means_rotated", features(means, rotated))
  record("moments", features(moments))
  record("discrepancy", features(discrepancy))
  np.savez_compressed(FILE, **results)


if __name__ == "__main__":
  main()
