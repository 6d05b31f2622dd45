"""An NNX module of one's own. Given: rows `x`, labels `y`, flax's `nnx`."""

import distill_jax as dd

source = dd.from_arrays(x, y)
build = lambda rngs: nnx.Sequential(
    nnx.Linear(x.shape[1], 32, rngs=rngs), nnx.relu,
    nnx.Linear(32, num_outputs, rngs=rngs))
made = dd.condense(source, dd.methods.dm(num_steps=50), build, per_class=1)
report = dd.evaluate(made, source, network=build, num_networks=2, num_sets=2)
