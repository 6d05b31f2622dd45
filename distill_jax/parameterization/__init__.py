"""How a distilled set is stored."""
