"""Images of neural fields and their gradients, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). A field is an `nn.Sequential` of
`nn.Linear` and sines of SIREN; its weights are those of `make_networks.fill`.
Gradients are of the sum of `images ** 2`.

    cd tests && python -m goldens.make_fields
"""

import pathlib

import numpy as np
from goldens.make_networks import fill

FILE = pathlib.Path(__file__).with_name("fields.npz")
DEPTHS = (1, 2, 3)
WIDTH, HEIGHT, COLUMNS, CHANNELS = 5, 4, 6, 3


def layers(depth):
  """Our weights, kernels [in, out] and biases, of the field of one depth."""
  sizes = (2, *(WIDTH,) * depth, CHANNELS)
  return [
      dict(
          kernel=fill(f"{number}/kernel", pair),
          bias=fill(f"{number}/bias", pair[1:]))
      for number, pair in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
  ]


def main():
  import torch
  from torch import nn

  torch.set_default_dtype(torch.float64)

  class Sine(nn.Module):

    def __init__(self, frequency):
      super().__init__()
      self.frequency = frequency

    def forward(self, x):
      return torch.sin(self.frequency * x)

  where = torch.stack(
      torch.meshgrid(
          torch.linspace(-1, 1, HEIGHT),
          torch.linspace(-1, 1, COLUMNS),
          indexing="ij"), -1)
  found = {}
  for depth in DEPTHS:
    parts = []
    for number, layer in enumerate(layers(depth)):
      linear = nn.Linear(*layer["kernel"].shape)
      with torch.no_grad():
        linear.weight.copy_(torch.tensor(layer["kernel"].T))
        linear.bias.copy_(torch.tensor(layer["bias"]))
      parts += [linear, Sine(10.0 if number else 30.0)]
    network = nn.Sequential(*parts[:-1])
    images = network(where)
    (images**2).sum().backward()
    found[f"{depth}/images"] = images.detach().numpy()
    for number, linear in enumerate(network[::2]):
      found[f"{depth}/{number}/kernel"] = linear.weight.grad.T.numpy()
      found[f"{depth}/{number}/bias"] = linear.bias.grad.numpy()
  np.savez_compressed(FILE, **found)


if __name__ == "__main__":
  main()
