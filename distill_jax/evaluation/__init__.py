"""How good a set is: learners trained on it, baselines beside it, a report."""
