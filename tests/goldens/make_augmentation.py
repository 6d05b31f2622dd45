"""Augmented images and their input gradients, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). The operations are written as the
published DSA code describes them, on parameters given here: affine grids and
bilinear sampling with zero padding and aligned corners, index masks for cutout,
padding and slicing for crop.

    python tests/goldens/make_augmentation.py
"""

import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("augmentation.npz")
SHAPES = {"colour": (3, 8, 8, 3), "grey": (3, 7, 7, 1)}
# One row an image; siamese use takes the first.
PARAMETERS = {
    "brightness": np.array([0.31, -0.5, 0.07]),
    "saturation": np.array([1.7, 0.0, 0.6]),
    "contrast": np.array([0.5, 1.4, 0.9]),
    "crop": np.array([[1, -1], [0, 1], [-1, 0]]),
    "cutout": np.array([[0, 3], [7, 7], [4, 5]]),
    "flip": np.array([True, False, True]),
    "scale": np.array([[0.85, 1.15], [1.19, 0.84], [1.0, 1.0]]),
    "rotate": np.deg2rad([14.0, -9.0, 0.0]),
}


def images(shape) -> np.ndarray:
  return np.random.RandomState(sum(shape)).standard_normal(shape)


def apply(name: str, x, value):
  """One operation on images x [B, C, H, W] with one row of parameters."""
  import torch
  import torch.nn.functional as F

  def sample(theta):
    theta = torch.as_tensor(theta, dtype=x.dtype).repeat(len(x), 1, 1)
    grid = F.affine_grid(theta, x.shape, align_corners=True)
    return F.grid_sample(
        x, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )

  size = x.shape[2]
  if name == "brightness":
    return x + float(value)
  if name == "saturation":
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * float(value) + mean
  if name == "contrast":
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * float(value) + mean
  if name == "crop":
    dy, dx = (int(v) for v in value)
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[:, :, 1 + dy : 1 + dy + size, 1 + dx : 1 + dx + size]
  if name == "cutout":
    side = int(0.5 * size + 0.5)
    mask = torch.ones_like(x)
    rows, columns = (
        torch.clamp(torch.arange(side) + int(v) - side // 2, 0, size - 1)
        for v in value
    )
    mask[:, :, rows[:, None], columns[None, :]] = 0
    return x * mask
  if name == "flip":
    return x.flip(3) if value else x
  if name == "scale":
    sy, sx = (float(v) for v in value)
    return sample([[[sx, 0, 0], [0, sy, 0]]])
  cos, sin = np.cos(value), np.sin(value)
  return sample([[[cos, -sin, 0], [sin, cos, 0]]])


def main():
  import torch

  torch.set_default_dtype(torch.float64)
  stored = {}
  for case, shape in SHAPES.items():
    x = torch.tensor(images(shape).transpose(0, 3, 1, 2), requires_grad=True)
    for name, values in PARAMETERS.items():
      y = torch.cat([
          apply(name, x[i : i + 1], value) for i, value in enumerate(values)
      ])
      (gradient,) = torch.autograd.grad(torch.sin(y).sum(), x)
      for key, value in (("value", y), ("gradient", gradient)):
        stored[f"{case}/{name}/{key}"] = (
            value.detach().numpy().transpose(0, 2, 3, 1)
        )
  np.savez_compressed(FILE, **stored)


if __name__ == "__main__":
  main()
