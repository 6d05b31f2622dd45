"""The same by DSA, from images `x`."""

import distill_jax as dd

source = dd.from_arrays(x, y)
dsa = dd.methods.dsa(num_steps=10, batch_size=8)
made = dd.condense(source, dsa, per_class=1)
report = dd.evaluate(made, source, num_networks=2, baselines="")
