"""Learned labels. Given: data `x`, labels `y`."""

import distill_jax as dd

source = dd.from_arrays(x, y)
sldd = dd.methods.sldd(num_steps=30, epochs=1)
made = dd.condense(source, sldd, "mlp", per_class=1)
report = dd.evaluate(made, source, num_networks=2, baselines="")
soft = made.to_numpy()[1]
