"""How the gradient with respect to a distilled set is estimated."""
