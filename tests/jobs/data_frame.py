"""A data frame. Given: `frame` with numbers and a column `kind`."""

import distill_jax as dd

source = dd.from_arrays(frame.drop(columns="kind"), frame["kind"])
made = dd.condense(source, dd.methods.dm(num_steps=50), per_class=1)
report = dd.evaluate(made, source, num_networks=2, baselines="")
rows, classes = made.to_numpy()
