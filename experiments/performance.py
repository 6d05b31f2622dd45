"""Performance matching from a configuration: by kernels and by long unrolls."""

from functools import partial

import optax
from methods import Rows, augmented, drawn_per_class

from distill_jax import data, models
from distill_jax.choices import one_of
from distill_jax.errors import ConfigError
from distill_jax.estimators import implicit, solvers
from distill_jax.evaluation.recipes import from_spec
from distill_jax.labels import cross_entropy, squared_error
from distill_jax.objectives import frepo, kip, rat_bptt, rcig, rfad
from distill_jax.objectives.pool import Pool, network_pool
from distill_jax.types import Network, Objective

# Whose labels are always targets of a regression.
REGRESSIONS = ("frepo", "kip", "label_solve", "rcig", "rfad")
# Which learn a scalar besides.
WITH_SCALAR = ("rcig", "rfad")


def kernel_regression(config, source, network, rows: Rows) -> Objective:
  """KIP."""
  del network, rows
  solved = config.method == "label_solve"  # draws no targets
  return kip.kernel_regression(
      models.from_spec(config.network, source.num_classes),
      sample=_mixed(config, source) if solved else drawn_per_class(
          config, source, lazy=False
      ),
      num_classes=source.num_classes,
      ridge=config.network.ridge,
      augmentation=augmented(config) if config.augmentation.strategy else None,
  )


def feature_regression(config, source, network: Network, rows: Rows):
  """FRePo."""
  del rows
  network = _distilling(config, source, network)
  return frepo.feature_regression(
      network, sample=_mixed(config, source), num_classes=source.num_classes,
      pool=_pool(config, network), ridge=config.ridge,
      mirrored=config.mirrored, margin=config.margin,
  )


def random_features(config, source, network: Network, rows: Rows):
  """RFAD."""
  del rows
  losses = dict(platt=rfad.platt, squared=rfad.mean_squared)
  return rfad.random_feature_regression(
      _distilling(config, source, network),
      sample=_mixed(config, source), num_classes=source.num_classes,
      num_networks=config.num_initialisations, ridge=config.ridge,
      loss=one_of(losses, "loss", config.loss),
  )


def convexified(config, source, network: Network, rows: Rows):
  """RCIG, an inner problem."""
  del rows
  network = _distilling(config, source, network)
  return rcig.convexified_regression(
      network, sample=_mixed(config, source), num_classes=source.num_classes,
      pool=_pool(config, network), l2_rate=config.l2_rate,
      mirrored=config.mirrored,
  )


def implicit_gradient(config):
  """`(problem, parameterization) -> Estimator` of RCIG."""
  steps = config.solver.num_steps
  solve = dict(
      adam=dict(
          inner=solvers.by_adam(steps),
          hessian=solvers.by_adam(steps, window=None),
      ),
      conjugate_gradients=dict(
          inner=solvers.by_conjugate_gradients(steps),
          hessian=solvers.by_conjugate_gradients(steps),
      ),
  )
  return partial(
      implicit.implicit, **one_of(solve, "solver.name", config.solver.name)
  )


def truncated(config, source, network: Network, rows: Rows) -> Objective:
  """RaT-BPTT."""
  student = config.student
  rules = dict(
      adam=lambda: optax.adam(student.step_size, eps_root=1e-8),
      sgd=lambda: optax.sgd(student.step_size, student.momentum or None),
  )
  losses = dict(
      cross_entropy=cross_entropy,
      squared_error=partial(squared_error, target_scale=student.target_scale),
  )
  augment = augmented(config) if config.augmentation.strategy else None
  return rat_bptt.truncated_unroll(
      network, sample=_mixed(config, source), num_classes=source.num_classes,
      window=student.window, lowest=student.lowest, highest=student.num_steps,
      optimizer=one_of(rules, "student.optimizer", student.optimizer)(),
      members=rows.members, batch_per_class=student.batch_per_class or None,
      augmentation=augment, one_draw=student.one_draw,
      real_augmentation=augment if student.augment_real else None,
      loss=one_of(losses, "student.loss", student.loss),
  )


METHODS = {
    "frepo": feature_regression,
    "kip": kernel_regression,
    "label_solve": kernel_regression,
    "rat_bptt": truncated,
    "rcig": convexified,
    "rfad": random_features,
}


def regresses(config) -> bool:
  """Whether labels are centred, the targets of a regression."""
  if config.method == "rat_bptt":
    return config.student.loss == "squared_error"
  return config.method in REGRESSIONS


def check(config) -> None:
  """Refuses fields that these methods, or these methods alone, cannot take."""
  of_kernel = config.method in ("kip", "label_solve")
  if of_kernel != models.is_kernel(config.network):
    raise ConfigError(
        "`network` must be kernel_ridge for kip and label_solve, and for no "
        f"other; got {config.network.get('name')!r} for {config.method}."
    )
  if config.method not in METHODS:
    return
  _check_labels(config)
  if config.step_size:
    raise ConfigError(
        f"`step_size` must be 0 with {config.method}, whose sets have no steps "
        f"of their own; got {config.step_size}."
    )
  if config.student_init != "random":
    raise ConfigError(
        f"`student_init` must be random with {config.method}; got "
        f"{config.student_init!r}."
    )
  stored = config.parameterization.name
  if config.method == "label_solve" and stored != "pixels":
    raise ConfigError(
        "`parameterization` must be pixels for label_solve, which solves a "
        f"label for each sample; got {stored}."
    )
  if config.get("unit_norm", False) and stored != "pixels":
    raise ConfigError(
        f"`unit_norm` must be off where codes are no pixels; got {stored}."
    )
  if not 0 <= config.get("last_rate", 0) <= 1:
    raise ConfigError(
        f"`last_rate` must be in [0, 1]; got {config.last_rate}."
    )
  positive = [("network_pool", "step_size"), ("student", "step_size"),
              ("student", "target_scale")]
  for part, field in positive:
    if part in config and not config[part][field] > 0:
      raise ConfigError(
          f"`{part}.{field}` must be positive; got {config[part][field]}."
      )
  if "student" in config and not 0 <= config.student.momentum < 1:
    raise ConfigError(
        f"`student.momentum` must be in [0, 1); got {config.student.momentum}."
    )
  if config.method in WITH_SCALAR and not config.extra_learning_rate > 0:
    raise ConfigError(
        "`extra_learning_rate` must be positive; got "
        f"{config.extra_learning_rate}."
    )


def _check_labels(config) -> None:
  """What a set is trained by must suit its labels, before it is made."""
  wanted = "centred" if regresses(config) else "raw"
  method, remedy = config.method, ""
  if method == "rat_bptt":
    method += f" and `student.loss` {config.student.loss}"
    remedy = " The option `regression` sets what belongs together."
  if config.get("label_space", "raw") != wanted:
    raise ConfigError(
        f"`label_space` must be {wanted} with {method}; got "
        f"{config.label_space!r}.{remedy}"
    )
  if (config.start_labels == "centred") != (wanted == "centred"):
    raise ConfigError(
        f"`start_labels` must {'' if wanted == 'centred' else 'not '}be centred"
        f" with {method}; got {config.start_labels!r}.{remedy}"
    )
  recipe = from_spec(config.recipe.to_dict())
  if recipe.regression != (wanted == "centred"):
    raise ConfigError(
        f"`recipe` must {'' if wanted == 'centred' else 'not '}be a regression "
        f"with {method}; got {recipe.name}. Choose "
        f"{'kip or frepo' if wanted == 'centred' else 'rat_bptt'}."
    )
  if wanted == "raw" and config.student.target_scale != 1:
    raise ConfigError(
        "`student.target_scale` must be 1 without squared_error; got "
        f"{config.student.target_scale}.{remedy}"
    )


def _distilling(config, source, network: Network) -> Network:
  """The network that a set is distilled with, where not the student."""
  spec = config.get("distilling_network")
  return models.from_spec(spec, source.num_classes) if spec else network


def _pool(config, network: Network) -> Pool:
  settings = config.network_pool
  return network_pool(
      network, size=settings.size, max_age=settings.max_age,
      optimizer=optax.adam(settings.step_size),
      num_steps=(settings.least_steps, settings.most_steps),
  )


def _mixed(config, source) -> data.sampling.Sampler:
  return data.mixed(min(config.batch_size, source.train.num_samples))
