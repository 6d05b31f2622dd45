"""How data about which nothing is published are preprocessed."""


def preprocessing_of(spec: str, model: str, wanted: str = "standardise") -> str:
  """A preprocessing that is fitted to the data; texts have word vectors.

  Args:
    spec: SPEC of the data.
    model: "network" or "kernel", what the set is made for.
    wanted: of data that are no texts.
  """
  kind, _, place = spec.partition(":")
  query = place.partition("?")[2]
  if kind == "csv" and any(o.startswith("text=") for o in query.split("&")):
    return "averaged_vectors" if model == "kernel" else "word_vectors"
  return wanted
