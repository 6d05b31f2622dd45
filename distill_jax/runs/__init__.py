"""Distillation and evaluation in folders: saved, resumed and reported."""

from distill_jax.runs.assess import Settings, evaluate
from distill_jax.runs.driver import Interrupted
from distill_jax.runs.real_source import source_of
from distill_jax.runs.run import Run

__all__ = ["Interrupted", "Run", "Settings", "evaluate", "source_of"]
