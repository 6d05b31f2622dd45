"""One distilled sample of each class, by DM. Given: data `x`, labels `y`."""

import distill_jax as dd

source = dd.from_arrays(x, y)
made = dd.condense(source, dd.methods.dm(num_steps=50), per_class=1)
report = dd.evaluate(made, source, num_networks=2, baselines="")
