"""A set on other networks. Given: `made` and its `source`."""

import distill_jax as dd

names = ("mlp", "convnet")
report = dd.evaluate(made, source, network=names, num_networks=1, num_sets=1)
accuracies = [report["networks"][name]["accuracy"]["mean"] for name in names]
