"""The table and the figure of one-shot federated learning."""

from collections.abc import Mapping
from typing import Any

from distill_jax.applications.findings import aligned, with_error
from distill_jax.applications.names import title
from distill_jax.figures.charts import accuracy_against
from distill_jax.figures.titles import data_name


def table(document: Mapping[str, Any]) -> str:
  """The table: what clients send, the server's accuracy, and the cost."""
  said = document["settings"]
  lines = [(
      row["label"],
      with_error(row["mean"], row["stderr"]),
      f"{row['bytes']:,}",
      f"{row['num_samples']:,}" if row["num_samples"] else "-",
      f"{row['seconds']:,.1f}",
      str(len(row["per_network"])),
  ) for row in document["rows"]]
  low, high = said["samples_of_clients"]
  without = len(said["without_data"])
  several = any(row["stderr"] is not None for row in document["rows"])
  return aligned((
      "clients send", "accuracy %", "bytes", "samples", "seconds", "networks"
  ), lines, (
      f"{said['num_clients']} clients with {low:,} to {high:,} samples, "
      f"{without} without any; server: {said['network']['name']}, recipe "
      f"{said['recipe']['name']}. Accuracy after the last epoch on the test "
      f"part{', ± the standard error over networks' * several}. Bytes travel "
      "up, for FedAvg up and down. Seconds are those of all clients' work "
      "together, for all data those of training.",))


def draw(document: Mapping[str, Any]):
  """A `Figure` of accuracy against the bytes that are sent."""
  said, lines = document["settings"], {}
  for row in document["rows"]:
    lines.setdefault(row.get("line", row["label"]), []).append(row)
  names = {line: _name(line, rows) for line, rows in lines.items()}
  rows = [
      dict(
          label=names[line],
          bytes=row["bytes"],
          mean=row["mean"],
          per_network=row["per_network"],
          std=row.get("std", 0.0))
      for line, several in lines.items()
      for row in several
  ]
  data = f"{data_name(document['data'])}, " if "data" in document else ""
  classes = said.get("partition", {}).get("classes_per_client")
  of = f" of {classes} classes" if classes else ""
  return accuracy_against(
      rows,
      "bytes",
      size="bytes sent to the server (FedAvg: in both directions)",
      named=True,
      title=f"{data}{said['num_clients']} clients{of}: accuracy against "
      "bytes")


def _name(line: str, rows) -> str:
  """A line in words; of one with several points, what the first and last are.
  """
  if len(rows) == 1:
    return title(line)
  first, last = (
      row["label"].removeprefix(f"{line}, ") for row in (rows[0], rows[-1]))
  return f"{title(line)}, {first.split()[0]} to {last}"
