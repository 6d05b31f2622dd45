"""A set on other networks. Given: `made` and its `source`."""

import distill_jax as dd

small = dict(name="convnet", depth=2, width=8)
report = dd.evaluate(
    made, source, network=("mlp", small), num_networks=1, num_sets=1)
found = {
    name: row["accuracy"]["mean"] for name, row in report["networks"].items()
}
