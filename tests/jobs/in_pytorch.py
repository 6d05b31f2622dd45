"""A PyTorch network trained on a set. Given: `made`, raw data `x_test`."""

import torch

x, y, prepare = made.to_torch()
layer = torch.nn.Linear(x[0].numel(), len(made.class_names))
network = torch.nn.Sequential(torch.nn.Flatten(), layer)
sgd = torch.optim.SGD(network.parameters(), 0.05)
for _ in range(200):
  sgd.zero_grad()
  torch.nn.functional.cross_entropy(network(x), y).backward()
  sgd.step()
predicted = network(prepare(x_test)).argmax(1).numpy()
