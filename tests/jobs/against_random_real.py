"""Whether a set beats random real samples. Given: `made` and its `source`."""

import distill_jax as dd

report = dd.evaluate(made, source, num_networks=2, num_sets=2)
gain = report["baselines"]["random_real"]["gain"]["mean"]
print(report["verdict"])
