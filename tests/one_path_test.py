"""`condense`, `Run` and the launcher are one path: they give the same bits."""

import jax
import numpy as np
import pytest
from cases import some
from launching import distil

import distill_jax as dd
from distill_jax import methods

# Options of the configuration that keep a method small, on the digits.
SMALL = {
    "dm": "num_steps=4,batch_size=8",
    "edd":
        "num_steps=4,batch_size=8,batches_between=1,segments.num=2,"
        "segments.at_least=8,parameterization.name=pixels",
    "frepo": "num_steps=4,batch_size=16,network_pool.size=2",
    "mtt":
        "num_steps=4,experts.num=1,experts.num_epochs=2,segment.span=1,"
        "segment.lowest=0,segment.first=1,segment.highest=1,"
        "student.num_steps=2,learning_rate=1",
    "sldd": "num_steps=4,batch_size=16,epochs=2,fixed"
}
QUIET = (
    "--config.evaluation.baselines=", "--config.evaluation.num_networks=1",
    "--config.evaluation.full_data=false", "--config.figures=false")
FEW = dict(baselines="", num_networks=1)


@pytest.mark.parametrize("name", some(sorted(SMALL), ("dm", "sldd")))
def test_three_doors_one_set(name, tmp_path):
  options = f"ipc=2,network=mlp,quick,{SMALL[name]}"
  launched = distil(
      f"--config=experiments/configs/{name}.py:{options}",
      "--config.network.widths=(8,)", f"--workdir={tmp_path / 'launched'}",
      *QUIET)
  assert launched.code == 0, launched.err
  first = dd.load(tmp_path / "launched" / "distilled.safetensors")

  source = dd.read(
      "digits", preprocessing="standardise", validation_fraction=0.1, seed=0)
  method = methods.from_spec(first.provenance["method"])
  made = dd.condense(source, method, first.network, per_class=2)
  run = dd.Run(
      tmp_path / "run",
      source,
      method,
      first.network,
      per_class=2,
      evaluation=FEW,
      figures=False)
  report = run.go()
  for other in (made, run.artifact):
    for a, b in zip(jax.tree.leaves(first[:6]), jax.tree.leaves(other[:6]),
                    strict=True):
      np.testing.assert_array_equal(a, b)
  assert report["num_samples"] == first.num_samples
