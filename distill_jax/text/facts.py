"""What a report and people should know of a source of texts."""

import numpy as np


def with_facts(source, *, per_class: int | None, num_rows: int | None):
  """A source whose facts name classes with fewer texts than the set has rows.

  Args:
    source: any `data.Source`; one of other data is returned as it is.
    per_class: label rows of each class; or
    num_rows: label rows of the whole set.

  Returns:
    The source, and lines for people.
  """
  facts = dict(source.facts)
  if "vectors" not in facts:
    return source, []
  counts = np.asarray(source.train.counts)
  each = per_class or -(-num_rows // source.num_classes)
  small = {
      name: int(n) for name, n in zip(source.class_names, counts, strict=True)
      if n < each
  }
  covered = ", ".join(
      f"{100 * share:.1f} % of {part}"
      for part, share in facts["tokens_with_vectors"].items()
  )
  lines = [
      f"{facts['words']:,} words, {facts['vectors']}: "
      f"{100 * facts['words_with_vectors']:.1f} % have a vector; of all tokens "
      f"{covered}",
  ]
  hint = "; `drop_duplicates` drops them there"
  if "dropped" in facts:
    hint = ", which lacks them now"
  lines += [
      f"{number} texts of the {part} part also occur in train{hint}"
      for part, number in facts["duplicates"].items() if number
  ]
  if small:
    facts["small_classes"] = small
    names = ", ".join(f"{name} ({n})" for name, n in small.items())
    lines.append(
        f"classes with fewer texts than the {each} rows a class of the set, "
        f"which baselines repeat: {names}"
    )
  return source._replace(facts=facts), lines
