"""How many networks baselines are measured with."""


def as_many(num_networks: int, *, chance: bool = True) -> dict[str, int]:
  """Sets of a baseline that train as many networks in all as a set does.

  Args:
    num_networks: trained on a set.
    chance: whether networks differ by chance; without it only draws of the
      samples do, and at least three are made.

  Returns:
    `num_sets` and `networks_per_set`, the first not the smaller one.
  """
  wanted = num_networks if chance else max(num_networks, 3)
  divisors = (n for n in range(1, wanted + 1) if wanted % n == 0)
  each = max(n for n in divisors if n * n <= wanted)
  return dict(num_sets=wanted // each, networks_per_set=each)
