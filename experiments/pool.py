"""The pool of trained networks that NCFM draws from, kept with its run."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from distill_jax import augmentation
from distill_jax.checkpoint import Checkpoints
from distill_jax.mixing import cutmix
from distill_jax.objectives import ncfm
from distill_jax.runs.console import say

_KEY = 2**30  # apart from the outer steps, which are below it


def prepare(run, config, folder: Path):
  """The run, its data beside a pool where the method asks for one.

  Networks are trained one after the other, and those that an earlier call
  finished are read.

  Returns:
    A `build.Run`.
  """
  if "pool" not in config:
    return run
  train, size = jax.jit(trainer(run, config)), config.pool.num_networks
  files = Checkpoints(folder / "pool", keep=size)
  like = jax.eval_shape(train, run.key, split=run.source.train)
  done = files.latest_step() or 0
  members = [files.restore(i + 1, like) for i in range(done)]
  for i in range(done, size):
    say(f"training network {i + 1} of the pool's {size}")
    key = jax.random.fold_in(run.key, _KEY + i)
    members.append(train(key, split=run.source.train))
    files.save(i + 1, members[-1])
  files.close()
  pool = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
  return run._replace(data=ncfm.PooledData(run.source.train, pool))


def trainer(run, config):
  """`(key, *, split) -> ncfm.Pool` of one network, as configured."""
  return partial(
      ncfm.train_member, network=run.network,
      num_epochs=config.pool.num_epochs, step_size=config.pool.step_size,
      augmentation=augmentation.dsa("color_crop"), mixing=cutmix(),
  )
