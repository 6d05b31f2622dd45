"""Outer steps to compare: our plans, gradients, and the other program.

Every `..._step.py` first checks that both programs compute the same gradient
(`difference`), and then times a step of each (`timing.compare`).
"""

import importlib.util
from pathlib import Path

import chex
import jax
import numpy as np

from distill_jax import methods
from distill_jax.environment import num_cores, platform
from distill_jax.methods.method import Keys, Plan, Store
from distill_jax.outer_loop import distill
from distill_jax.types import Distilled

RTOL = 1e-3


def planned(source, method: methods.Method, network, **size) -> Plan:
  """`methods.plan` of a method that keeps nothing in folders."""
  return methods.plan(
      source,
      method,
      network,
      keys=Keys.of(jax.random.key(0)),
      store=Store(Path(), Path()),
      **size)


def stepper(plan: Plan, num_steps: int):
  """`() -> State, Info`, which takes the first `num_steps` outer steps."""
  split = plan.task.source.train
  return lambda: distill(
      plan.keys.run,
      plan.state,
      split,
      step=plan.outer.step,
      num_steps=num_steps)


def gradient(plan: Plan, batch, start: Distilled | None = None) -> Distilled:
  """The gradient of one batch at the start of a set, without TF32.

  Args:
    plan: the plan of a method.
    batch: the real samples.
    start: a set to use in place of the plan's start.
  """
  with jax.default_matmul_precision("highest"):
    _, found, *_ = jax.jit(plan.estimator.estimate)(
        jax.random.key(0), plan.start if start is None else start,
        plan.state.objective, batch)
  return found


def temporary_bytes(function, *args) -> int:
  """Temporary memory of a compiled function, as XLA analyses it."""
  compiled = jax.jit(function).lower(*args).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def difference(ours: dict, theirs: dict, *, rtol: float = RTOL) -> float:
  """Largest difference of two gradients, relative to an array's largest entry.

  `theirs` may lack arrays. A `RuntimeError` is raised if the difference is
  above `rtol` or NaN.
  """
  shares = {}
  for name, value in theirs.items():
    one, other = np.asarray(ours[name]), np.asarray(value)
    chex.assert_equal_shape((one, other))
    shares[name] = float(np.abs(one - other).max() / np.abs(other).max())
  wrong = {name: share for name, share in shares.items() if not share <= rtol}
  if wrong:
    raise RuntimeError(
        f"`ours` must agree with `theirs` to {rtol}; got differences {wrong}.")
  return max(shares.values())


def find_torch():
  """The torch device to compare with; None, with a message, without one."""
  if importlib.util.find_spec("torch") is None:
    print("PyTorch is not installed: only ours is timed.")
    return None
  import torch

  accelerator = platform() != "cpu"
  if accelerator and not torch.cuda.is_available():
    print("PyTorch finds no CUDA device: only ours is timed.")
    return None
  torch.set_num_threads(num_cores())
  return torch.device("cuda" if accelerator else "cpu")


def named(torch_device) -> dict[str, str]:
  """The column `torch_device`, if PyTorch was timed."""
  return {} if torch_device is None else {"torch_device": torch_device.type}


def allow_tf32(allowed: bool) -> None:
  """Sets whether PyTorch may round float32 products on a GPU, as XLA does."""
  import torch

  torch.backends.cuda.matmul.allow_tf32 = allowed
  torch.backends.cudnn.allow_tf32 = allowed
