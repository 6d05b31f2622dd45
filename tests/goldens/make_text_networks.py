"""Outputs and input gradients of the text networks, by PyTorch in float64.

Needs torch (2.13.0 made the stored file). Weights and sentences are those of
`make_networks.fill` and `images`, so only results are stored.

    cd tests && python -m goldens.make_text_networks
"""

import pathlib

import numpy as np
from goldens.make_networks import CLASSES, fill, images

FILE = pathlib.Path(__file__).with_name("text_networks.npz")
SENTENCES = (3, 7, 12)
HIDDEN, WIDTH = 5, 6


def main():
  import torch
  import torch.nn.functional as F

  torch.set_default_dtype(torch.float64)

  def filled(name, *shape):
    return torch.tensor(fill(name, shape))

  def head(x):
    kernel = filled("head/kernel", x.shape[1], CLASSES)
    return x @ kernel + filled("head/bias", CLASSES)

  def text_convnet(x):
    found = []
    for window in (3, 4, 5):
      kernel = fill(f"body/kernel_{window}", (window, x.shape[2], 1, WIDTH))
      maps = F.conv2d(
          x[:, None], torch.tensor(kernel.transpose(3, 2, 0, 1)),
          filled(f"body/bias_{window}", WIDTH),
      ).relu().squeeze(3)
      found.append(F.max_pool1d(maps, maps.shape[2]).squeeze(2))
    return head(torch.cat(found, 1))

  def load(module, names, gates):
    """Our weights in a torch recurrent module, layer by layer."""
    with torch.no_grad():
      for (layer, way), name in names.items():
        end = f"_l{layer}" + "_reverse" * way
        size = getattr(module, f"weight_ih{end}").shape[1]
        wide = gates * module.hidden_size
        for ours, theirs, shape in (
            ("kernel", "weight_ih", (size, wide)),
            ("recurrent", "weight_hh", (module.hidden_size, wide)),
            ("bias", "bias_ih", (wide,)),
            ("recurrent_bias", "bias_hh", (wide,)),
        ):
          value = torch.tensor(fill(f"body/{name}/{ours}", shape))
          getattr(module, theirs + end).copy_(value.T if value.ndim > 1
                                              else value)
    return module

  def recurrent(kind, gates):
    def run(x):
      module = kind(
          x.shape[2], HIDDEN, num_layers=2, bidirectional=True,
          batch_first=True,
      )
      load(module, {
          (layer, way): f"{('forward', 'backward')[way]}_{layer}"
          for layer in range(2) for way in range(2)
      }, gates)
      _, last = module(x)
      state = last[0] if isinstance(last, tuple) else last
      return head(torch.cat([state[-2], state[-1]], 1))

    return run

  def conv_lstm(x):
    # PyTorch's own layout: positions are channels, windows along the vectors.
    kernel = fill("body/Dense_0/kernel", (5 * x.shape[1], WIDTH))
    kernel = torch.tensor(kernel.reshape(5, x.shape[1], WIDTH))
    maps = F.conv1d(
        x, kernel.permute(2, 1, 0), filled("body/Dense_0/bias", WIDTH)
    ).relu()
    pooled = F.max_pool1d(maps, 4)
    module = torch.nn.LSTM(pooled.shape[2], HIDDEN, batch_first=True)
    _, (state, _) = load(module, {(0, 0): "lstm"}, 4)(pooled)
    return head(state[0])

  results = {}
  for name, network in (
      ("text_convnet", text_convnet),
      ("bi_rnn", recurrent(torch.nn.RNN, 1)),
      ("bi_lstm", recurrent(torch.nn.LSTM, 4)),
      ("conv_lstm", conv_lstm),
  ):
    x = torch.tensor(images(*SENTENCES), requires_grad=True)
    logits = network(x)
    (gradient,) = torch.autograd.grad(logits.sin().sum(), x)
    results[f"{name}/logits"] = logits.detach().numpy()
    results[f"{name}/gradient"] = gradient.numpy()
  np.savez_compressed(FILE, **results)


if __name__ == "__main__":
  main()
