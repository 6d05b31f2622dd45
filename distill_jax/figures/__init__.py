"""Pictures of a distilled set and of the run that made it.

Every function that draws returns a `matplotlib.figure.Figure`, which a notebook
shows and `save` writes to a file. Matplotlib is imported when the first figure
is drawn, and pyplot never, so global state does not change. Figures are at most
8 inches wide, so that they are legible in a README; only a transfer matrix of
many networks is wider.
"""

from distill_jax.figures.charts import (
    AXES,
    accuracy_against,
    accuracy_bars,
    confusion_matrix,
    curves,
    transfer_matrix,
)
from distill_jax.figures.grid import sample_grid
from distill_jax.figures.scatter import Points, t_sne
from distill_jax.figures.series import series_lines
from distill_jax.figures.table import feature_table
from distill_jax.figures.theme import can_draw, save
from distill_jax.figures.titles import (
    class_names,
    data_name,
    loss_name,
    method_name,
    network_name,
    row_name,
    set_size,
    set_title,
)
from distill_jax.figures.words import decoded_sentences, heat_maps

__all__ = [
    "AXES", "Points", "accuracy_against", "accuracy_bars", "can_draw",
    "class_names", "confusion_matrix", "curves", "data_name",
    "decoded_sentences", "feature_table", "heat_maps", "loss_name",
    "method_name", "network_name", "row_name", "sample_grid", "save",
    "series_lines", "set_size", "set_title", "t_sne", "transfer_matrix"
]
