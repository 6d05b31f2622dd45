"""Estimators of the gradient with respect to a distilled set."""
