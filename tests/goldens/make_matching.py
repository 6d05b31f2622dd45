"""Matching losses and their sample gradients, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). A ConvNet of depth 1, width 4 with
instance norm on 6x6 images; three classes, two distilled and five real samples
each. Written as the published code writes it: a Python loop over classes, over
parameter tensors and over output nodes. Weights come from `make_networks.fill`,
frequencies from `frequencies`, what augmentations draw from
`make_augmentation.PARAMETERS`.

    PYTHONPATH=tests python -m goldens.make_matching
"""

import pathlib

import numpy as np
from goldens import make_augmentation
from goldens.make_networks import fill, images

FILE = pathlib.Path(__file__).with_name("matching.npz")
CLASSES, OWN, REAL, SIDE = 3, 2, 5, 6
FEATURES, FREQUENCIES = 36, 7
CAFE_WEIGHTS, CAFE_DISCRIMINATION = (0.3, 1.7), 0.05
CALIBRATION, AMPLITUDES = 0.7, (0.5, 0.8)
SHAPES = {
    "body/Conv_0/kernel": (3, 3, 2, 4),
    "body/Conv_0/bias": (4,),
    "body/GroupNorm_0/scale": (4,),
    "body/GroupNorm_0/bias": (4,),
    "head/kernel": (FEATURES, CLASSES),
    "head/bias": (CLASSES,),
}


def samples() -> tuple[np.ndarray, np.ndarray]:
  """Distilled [K, m, H, W, C] and real [K, n, H, W, C]."""
  return (
      images(CLASSES, OWN, SIDE, SIDE, 2), images(CLASSES, REAL, SIDE, SIDE, 2)
  )


def drawn(name: str) -> np.ndarray:
  """The parameters [1, ...] of one operation."""
  return make_augmentation.PARAMETERS[name][:1]


def frequencies() -> np.ndarray:
  """[D, F], those of every class."""
  return np.random.RandomState(5).standard_normal((FEATURES, FREQUENCIES))


def main():
  import torch
  import torch.nn.functional as F

  torch.set_default_dtype(torch.float64)

  def parameters():
    return {
        name: torch.tensor(fill(name, shape), requires_grad=True)
        for name, shape in SHAPES.items()
    }

  def stages(theta, x):
    x = F.conv2d(
        x.permute(0, 3, 1, 2), theta["body/Conv_0/kernel"].permute(3, 2, 0, 1),
        theta["body/Conv_0/bias"], padding=1,
    )
    x = F.group_norm(
        x, 4, theta["body/GroupNorm_0/scale"], theta["body/GroupNorm_0/bias"]
    )
    last = F.avg_pool2d(x.relu(), 2).permute(0, 2, 3, 1).flatten(1)
    return x.relu(), last

  def embed(theta, x):
    return stages(theta, x)[-1]

  def logits(theta, x):
    return embed(theta, x) @ theta["head/kernel"] + theta["head/bias"]

  def gradient(theta, x, label, create_graph):
    labels = torch.full((len(x),), label)
    return torch.autograd.grad(
        F.cross_entropy(logits(theta, x), labels), list(theta.values()),
        create_graph=create_graph,
    )

  def augmented(name):
    value = drawn(name)[0]

    def apply(x):
      x = make_augmentation.apply(name, x.permute(0, 3, 1, 2), value)
      return x.permute(0, 2, 3, 1)

    return apply

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
  for name in make_augmentation.PARAMETERS:
    record(f"by_output/{name}", gradients(by_output, augmented(name)))
  record("cosine", gradients(cosine))
  record("squared", gradients(squared))
  record("absolute", gradients(absolute))
  record("kernels", gradients(kernels(squared)))
  record("means", features(means))
  record("means/rotate", features(means, augmented("rotate")))
  record("moments", features(moments))

  t = torch.tensor(frequencies())

  def characteristic(x):
    x = x / x.norm(dim=1, keepdim=True)
    return torch.exp(1j * (x @ t)).mean(0)

  def ncfm(amplitude):
    def of_class(theta, c, real, own):
      p = characteristic(embed(theta, real).detach())
      q = characteristic(embed(theta, own))
      spread = (p.abs() - q.abs()) ** 2
      turn = 2 * (p.abs() * q.abs() - (p * q.conj()).real)
      matched = (amplitude * spread + (1 - amplitude) * turn).sqrt().mean()
      right = torch.full((len(own),), c)
      calibrated = F.cross_entropy(logits(theta, own), right)
      return 300 * matched + CALIBRATION * calibrated

    return of_class

  for amplitude in AMPLITUDES:
    record(f"ncfm/{amplitude}", ncfm(amplitude))

  def cafe(own):
    theta = parameters()
    own_stages = [[f.mean(0) for f in stages(theta, x)] for x in own]
    total, classifier = 0, torch.stack([f[-1] for f in own_stages])
    for c, real in enumerate(real_values):
      real_stages = [f.detach() for f in stages(theta, real)]
      for weight, a, b in zip(
          CAFE_WEIGHTS, real_stages, own_stages[c], strict=True
      ):
        total = total + weight * ((a.mean(0) - b) ** 2).sum()
      scores = F.log_softmax(real_stages[-1] @ classifier.T, dim=1)
      total = total - CAFE_DISCRIMINATION * scores[:, c].sum()
    return total

  own = own_values.clone().requires_grad_(True)
  total = cafe(own)
  results["cafe/loss"] = total.detach().numpy()
  results["cafe/gradient"] = torch.autograd.grad(total, own)[0].numpy()
  np.savez_compressed(FILE, **results)


if __name__ == "__main__":
  main()
