"""A linen module of one's own. Given: rows `x`, labels `y`, linen's `nn`."""

import distill_jax as dd

source = dd.from_arrays(x, y)
network = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(num_outputs)])
made = dd.condense(source, dd.methods.dm(num_steps=50), network, per_class=1)
report = dd.evaluate(made, source, network=network, num_networks=2, num_sets=2)
