"""A PyTorch network trained on a set. Given: `made`, raw data `x_test`."""

import torch

rows, targets, prepare = made.to_torch()
classes = len(made.class_names)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(classes))
loss = lambda: torch.nn.functional.cross_entropy(network(rows), targets)
adam = torch.optim.Adam((network(rows), network)[1].parameters(), 0.01)
[adam.step(lambda: (adam.zero_grad(), loss().backward())) for _ in range(200)]
predicted = network(prepare(x_test)).argmax(1).numpy()
