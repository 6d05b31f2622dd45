"""The kinds of data that a SPEC can name; `data.readers` explains them.

Importing this module is quick, for completion in shells.
"""

# By kind, what follows its colon; nothing follows one without a place.
PLACES = {
    "digits": "",
    "idx": "DIR",
    "npz": "FILE",
    "npy": "DIR",
    "folder": "DIR",
    "csv": "PLACE",
    "tfds": "NAME"
}


def patterns() -> list[str]:
  """All kinds as one types them, such as "digits" and "idx:DIR"."""
  return [
      f"{kind}:{place}" if place else kind for kind, place in PLACES.items()
  ]
