"""Networks shared out over all devices. Given: `made` and its `source`."""

import jax

import distill_jax as dd
from distill_jax.devices import on_devices

key, network = jax.random.key(0), dd.mlp(num_outputs)
with on_devices():
  report = dd.evaluate_set(
      key, made, source.test, network=network, num_networks=3)
