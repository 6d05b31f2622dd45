"""Students: networks or kernels, as a user names them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from distill_jax import models, nn
from distill_jax.errors import ConfigError, shown
from distill_jax.evaluation import fitting, learners
from distill_jax.evaluation.recipe import Recipe
from distill_jax.runs.console import say
from distill_jax.types import Network

Named = Any  # a name, a specification, a kernel or what `as_network` takes


class Student(NamedTuple):
  """A network that is trained, or a kernel for ridge regression.

  Attributes:
    name: name in tables.
    model: a network, a kernel, or None for a student that needs neither.
    spec: `{"name": ..., settings}`; {} for a network without a specification.
  """

  name: str
  model: Any  # a `Network`, a `Kernel` or None
  spec: Mapping[str, Any]

  @property
  def named(self) -> Any:
    """The specification, or the model itself if it has none."""
    return dict(self.spec) or self.model

  @property
  def trained(self) -> bool:
    """Whether this is a network, which is trained by a recipe."""
    return isinstance(self.model, Network)

  def learner(self, recipe: Recipe | None = None) -> learners.Learner:
    """The network trained by a recipe, or a learner in closed form."""
    if self.trained:
      return learners.student(self.model, recipe)
    if self.model is not None and not self.spec:  # the user's own kernel
      return learners.kernel_ridge(self.model)
    return fitting.from_spec(self.spec, None, 0)


def spec_of(named: Named, artifact) -> Mapping[str, Any]:
  """A specification from a name; the artifact's own if that has the name."""
  if isinstance(named, str):
    own = artifact.network
    return own if own.get("name") == named else {"name": named}
  return named if isinstance(named, Mapping) else models.spec_of(named)


def students(named: Named | Sequence[Named] | None, artifact,
             source) -> tuple[Student, ...]:
  """Returns the named students; by default the artifact's, or a default.

  Raises:
    ConfigError: an unknown name or setting, or a wrong number of outputs.
  """
  if named is None:
    named = artifact.network or _default(source)
  one = nn.as_network(named)  # a pair of functions is one network, not a list
  if isinstance(one, str | Mapping | Network) or callable(one):
    named = (named,)
  elif not isinstance(one, Sequence):
    raise ConfigError(
        "`network` must be a name, a specification, a network or a list of "
        f"these; got {shown(named)}.")
  given, named = named, tuple(map(nn.as_network, named))
  specs = [spec_of(one, artifact) for one in named]
  built: list[Any] = [
      one if isinstance(one, Network) or callable(one) else
      models.from_spec(spec, source.num_classes)
      if models.is_network(spec) or models.is_kernel(spec) else None
      for one, spec in zip(named, specs, strict=True)
  ]
  for model in built:
    if isinstance(model, Network):
      models.check_fits(model, source)
  names = [
      spec.get("name") or _name(one)
      for spec, one in zip(specs, given, strict=True)
  ]
  return tuple(
      Student(
          name if names.count(name) == 1 else f"{name} {i + 1}", model,
          spec if model is None else models.spec_of(model))
      for i, (name, model,
              spec) in enumerate(zip(names, built, specs, strict=True)))


def networks(
    named: Named | Sequence[Named] | None,
    source,
    argument: str = "networks") -> tuple[Student, ...]:
  """Returns networks that a recipe trains; by default one for the data.

  Args:
    named: as in `students`.
    source: the data.
    argument: name of the argument, for messages.

  Raises:
    ConfigError: a kernel or another student that no recipe trains; or an error
      of `students`.
  """
  given = nn.as_network(models.default(source) if named is None else named)
  if isinstance(given, list | tuple) and not isinstance(given, Network):
    given = [_as_spec(one) for one in given]
    if not given:
      raise ConfigError(
          f"`{argument}` must name at least one network; got none.")
  found = students(_as_spec(given), None, source)
  for one in found:
    if not one.trained:
      raise ConfigError(
          f"`{argument}` must be trained by a recipe, as networks are; got "
          f"{one.name}.")
  return found


def network(named: Named | None, source) -> Student:
  """Returns the one network that a recipe trains; see `networks`."""
  found = networks(named, source, "network")
  if len(found) != 1:
    raise ConfigError(
        "`network` must be one network that a recipe trains; got "
        f"{', '.join(one.name for one in found)}.")
  return found[0]


def _as_spec(named):
  return {"name": named} if isinstance(named, str) else named


def _name(given) -> str:
  """The name of a network without a specification: its class or function."""
  if isinstance(given, Network | tuple):
    return "network"
  return getattr(given, "__name__", type(given).__name__)


def _default(source) -> Mapping[str, Any]:
  spec = models.default(source)
  say(
      f"the set names no network; evaluating on {spec['name']}, the default "
      "for these data. `network=` chooses another")
  return spec
