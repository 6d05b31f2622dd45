"""Schema 3 of a distilled set: its tensors, its document and their rules.

`split` turns an artifact into tensors by name and a JSON document, and `fields`
turns these back into the fields of an artifact. `check` is called for every
set, whether it was just distilled, made from a user's arrays or read from a
file.

Quantised sets have schema 2: the document has `quantisation` and the nesting of
`labels`, and there is no tensor `inputs`, because samples are decoded from the
codes. Sets with labels of views have schema 3: the document has the nesting of
`views`, and also the fields of schema 2 if the set is quantised. All other sets
have schema 1.
"""

from distill_jax.schema.arrays import (
    ARRAYS,
    TREES,
    default_raw_dtype,
    modality,
)
from distill_jax.schema.document import fields, split
from distill_jax.schema.nesting import nested, poured
from distill_jax.schema.rules import check
from distill_jax.schema.settings import RECIPES, json_copy
from distill_jax.schema.sizes import (
    compressed_bytes,
    kept,
    num_bytes,
    storage_bytes,
)

__all__ = [
    "ARRAYS", "RECIPES", "TREES", "check", "compressed_bytes",
    "default_raw_dtype", "fields", "json_copy", "kept", "modality", "nested",
    "num_bytes", "poured", "split", "storage_bytes"
]
