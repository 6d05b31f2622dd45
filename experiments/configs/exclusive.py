"""Any method in segments, as in EDD; `of=NAME`, then its options: `common.py`.

  python experiments/distill.py \\
    --config=experiments/configs/exclusive.py:of=dm,data=mnist,segments.num=2 \\
    --workdir=runs/exclusive --data_dir=DATA

Options of its own: `segments.num`, `segments.drop_correct`,
`segments.at_least`, `segments.anchor_weight`.
"""

from configs import combined

from distill_jax import methods


def options_of(method) -> list[str]:
  """The options that choose the method whose segments are distilled."""
  return [f"of={method.of.name}"]


def get_config(text=None):
  """`of`, dm by default, on the rows and steps of each segment."""
  segments = methods.ENTRIES["exclusive"].defaults["segments"]
  known = {
      f"segments.{name}": value
      for name, value in segments.items()
      if name != "recipe"
  }
  own, rest = combined.split(text, of="dm", **known)
  settings = {
      name.partition(".")[2]: value
      for name, value in vars(own).items()
      if name != "of"
  }
  config = combined.configuration(own.of, rest)
  return combined.with_method(
      config, methods.exclusive(combined.method_of(config), **settings))
