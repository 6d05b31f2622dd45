"""Networks and kernels of configurations, by short names."""

from distill_jax import models
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError

# Sizes of networks of texts.
_SIZES = {
    "bi_lstm": dict(hidden=100),
    "bi_rnn": dict(hidden=100),
    "conv_lstm": dict(hidden=10),
    "text_convnet": dict(width=100),
    "transformer": dict(width=64)
}
# Initial inner step sizes for these networks, in place of the method's.
STEP_SIZES = {"bi_lstm": 1.5, "bi_rnn": 0.5, "conv_lstm": 1.5}
KERNELS = {
    "fc1": dict(kernel="fully_connected", depth=1, kind="ntk"),
    "fc3": dict(kernel="fully_connected", depth=3, kind="ntk"),
    "conv3": dict(kernel="convolutional", depth=3, kind="ntk"),
    "convnet3": dict(kernel="convolutional_pooled", depth=3, kind="ntk")
}


def network_of(chosen, data_set, model: str, students, convnet):
  """The student of a configuration, and the network a set is distilled with.

  Args:
    chosen: options `data`, `network`, `features`, `width` and `quick`.
    data_set: one of `data_sets.DATA_SETS`.
    model: the kind of model that the method works with, see `methods.Method`.
    students: see `common.configure`.
    convnet: see `common.configure`.

  Returns:
    Two specifications; {} stands for none.
  """
  if model == "none":
    return {}, {}
  if model == "kernel":
    kernel = one_of(KERNELS, "network", chosen.network or "fc1")
    return dict(name="kernel_ridge", **kernel), {}

  def named(name: str) -> dict:
    spec = dict(data_set.network)
    own = convnet.get("name", "convnet") if "depth" in spec else spec["name"]
    name = name or students.get(chosen.data, own)
    one_of(models.NETWORKS, "network", name)
    if name not in ("convnet", "frepo_convnet"):
      if chosen.width and not chosen.features:
        raise ConfigError(
            f"`width` must be left out with {name}; got {chosen.width}.")
      same = name == spec["name"]
      return spec if same else dict(name=name, **_SIZES.get(name, {}))
    width = convnet.get("width", data_set.width)
    if data_set.traits is None:
      width = data_set.width
    width = chosen.width or (8 if chosen.quick else width)
    return {**convnet, "name": name, "depth": spec["depth"], "width": width}

  features = named(chosen.features) if chosen.features else {}
  return named(chosen.network), features
