"""Evaluation of a set: students trained on it, baselines, and a report."""

from distill_jax.evaluation.baselines import run_baselines
from distill_jax.evaluation.cost import cost_of_set
from distill_jax.evaluation.evaluator import evaluate_set, evaluate_sets
from distill_jax.evaluation.full_data import train_on_all
from distill_jax.evaluation.learners import nearest_neighbours, student
from distill_jax.evaluation.recipes import hard_labels, in_order
from distill_jax.evaluation.report import (
    Transfer,
    report_dict,
    table,
    transfer_table,
)

__all__ = [
    "Transfer", "cost_of_set", "evaluate_set", "evaluate_sets", "hard_labels",
    "in_order", "nearest_neighbours", "report_dict", "run_baselines", "student",
    "table", "train_on_all", "transfer_table"
]
