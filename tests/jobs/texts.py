"""Sentences. Given: a list of `texts`, a list of labels `y`."""

import distill_jax as dd

source = dd.from_texts(texts, y)
made = dd.condense(source, dd.methods.dm(num_steps=30), per_class=1)
report = dd.evaluate(made, source, num_networks=2, baselines="")
sentences, classes = made.to_numpy()
