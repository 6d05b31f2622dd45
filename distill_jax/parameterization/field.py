"""Neural fields: each image is a small network from positions to colours.

Shin, Bae, Sim, Kang & Moon, "Distilling Dataset into Neural Field", 2025, arXiv
2503.04835 (DDiF), with the networks of Sitzmann et al., "Implicit Neural
Representations with Periodic Activation Functions", 2020, arXiv 2006.09661
(SIREN). At a position p in [-1, 1]^2 an image has the value

    h_1 = sin( 30 (W_1 p + b_1) ),   h_l = sin( 10 (W_l h_{l-1} + b_l) )
    X(p) = W h_L + b

Weights start from U(+-1/2) in the first layer and U(+-sqrt(6 / in) / 10) in
later ones, biases from U(+-1/sqrt(in)). Then Adam fits every network to its
input by the squared error; its number of steps and its rate are our own choice.
The corners of an image are the corners of the square, whatever the image's
size, so that the same codes decode at any resolution.
"""

import jax
import jax.numpy as jnp
import optax

from distill_jax.parameterization.images import check_images, grid, owners
from distill_jax.specification import specified
from distill_jax.types import Array, Parameterization, PyTree

_FIRST, _HIDDEN = 30.0, 10.0  # frequencies
_AT_ONCE = 256  # networks that are fitted in parallel


@specified()
def field(
    width: int,
    depth: int = 2,
    *,
    per_row: int = 1,
    fit_steps: int = 500,
    fit_rate: float = 1e-2) -> Parameterization:
  """Stores the weights of one small network per image.

  A network has (2 + 1) d + (L - 1) (d + 1) d + (d + 1) C floats, with d its
  width and L its depth: 81 for d = 6 in colour, 67 in grey. The H W C floats of
  one image of pixels hold several networks. Spend them on more label rows, or
  on more images `per_row`, which share a label row.

  `init` takes r inputs per label row, side by side, and fits a network to each.
  No small network fits noise; for a start from noise, `fit_steps=0` saves time.

  Args:
    width: d, at least 1.
    depth: L, number of layers with a sine, at least 1.
    per_row: r, number of images per label row, at least 1.
    fit_steps: steps of Adam, from a random network to the input.
    fit_rate: step size of Adam, positive.

  Raises:
    ValueError: a setting is out of range; or, from `init`, inputs are not
      images, or their number is not a multiple of r.
  """
  for name, value in (("width", width), ("depth", depth), ("per_row", per_row)):
    if value < 1:
      raise ValueError(f"`{name}` must be at least 1; got {value}.")
  if fit_steps < 0 or not fit_rate > 0:
    raise ValueError(
        "`fit_steps` must not be negative and `fit_rate` must be positive; got "
        f"{fit_steps} and {fit_rate}.")

  def init(key, inputs):
    check_images(inputs, per_row)
    _, rows, columns, channels = inputs.shape
    sizes = (2, *(width,) * depth, channels)
    where = places(rows, columns, inputs.dtype)

    def fit(given):
      key, image = given
      begun = random_layers(key, sizes, inputs.dtype)
      return fitted(
          begun, image, where, num_steps=fit_steps, step_size=fit_rate)

    keys = jax.random.split(key, len(inputs))
    layers = jax.lax.map(fit, (keys, inputs), batch_size=_AT_ONCE)
    return {"layers": layers, "grid": grid(rows, columns)}

  def decode(codes):
    layers = codes["layers"]
    _, rows, columns = codes["grid"].shape
    where = places(rows, columns, layers[0]["kernel"].dtype)
    return jax.vmap(colours, (0, None))(layers, where)

  def owner(codes):
    return owners(len(codes["layers"][0]["bias"]), per_row)

  return Parameterization(
      init, decode, owner, inputs_per_row=per_row, keeps_inputs=fit_steps > 0)


def at_size(codes: PyTree, height: int, width: int) -> PyTree:
  """Returns codes of the same fields that decode to [M, height, width, C]."""
  return {**codes, "grid": grid(height, width)}


def places(height: int, width: int, dtype) -> Array:
  """[H, W, 2] positions in [-1, 1]^2, increasing down and to the right."""
  axes = (jnp.linspace(-1, 1, side, dtype=dtype) for side in (height, width))
  return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)


def colours(layers: PyTree, where: Array) -> Array:
  """Values [..., C] of one field at positions [..., 2]."""
  x = where
  for number, layer in enumerate(layers):
    x = jnp.matmul(x, layer["kernel"], precision=jax.lax.Precision.HIGHEST)
    x = x + layer["bias"]
    if number < len(layers) - 1:
      x = jnp.sin((_HIDDEN if number else _FIRST) * x)
  return x


def fitted(
    layers: PyTree, image: Array, where: Array, *, num_steps: int,
    step_size: float) -> PyTree:
  """The field after Adam has moved it towards an image.

  Args:
    layers: of one field.
    image: [..., C], what the field shall be at `where`.
    where: [..., 2], places.
    num_steps: steps of Adam, on the mean squared error over all places.
    step_size: of Adam, positive.
  """
  rule = optax.adam(step_size)

  def loss(layers):
    return jnp.square(colours(layers, where) - image).mean()

  def step(carry, _):
    layers, state = carry
    updates, state = rule.update(jax.grad(loss)(layers), state)
    return (optax.apply_updates(layers, updates), state), None

  start = layers, rule.init(layers)
  return jax.lax.scan(step, start, length=num_steps)[0][0]


def random_layers(key: Array, sizes: tuple[int, ...], dtype) -> PyTree:
  """Kernels [in, out] and biases [out] of one field.

  Args:
    key: consumed.
    sizes: of the layers, from 2 to C.
    dtype: of floats.
  """
  layers = []
  pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
  for number, (k, (fan_in, size)) in enumerate(zip(jax.random.split(key,
                                                                    len(pairs)),
                                                   pairs, strict=True)):
    k_kernel, k_bias = jax.random.split(k)
    bound = (6 / fan_in)**0.5 / _HIDDEN if number else 1 / fan_in
    bounds = dict(kernel=bound, bias=fan_in**-0.5)
    layers.append({
        name:
            jax.random.uniform(
                key, shape, dtype, minval=-bounds[name], maxval=bounds[name])
        for name, key, shape in (("kernel", k_kernel, (fan_in, size)),
                                 ("bias", k_bias, (size,)))
    })
  return tuple(layers)
