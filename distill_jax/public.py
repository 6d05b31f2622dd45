"""Where the public names come from; `import distill_jax` gives them.

This module imports the whole library, and with it JAX, which takes a second.
`distill_jax` does so only when a name is used.
"""

from distill_jax import examples, methods
from distill_jax._version import __version__
from distill_jax.artifact import Artifact, from_samples, load, save, to_artifact
from distill_jax.condenser import Condenser
from distill_jax.data import Source, from_arrays, mixed, per_class, read
from distill_jax.data.corpus import from_texts
from distill_jax.errors import ArtifactError, ConfigError, DataError
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation import evaluate_set, student
from distill_jax.exchange import export
from distill_jax.initialisation import (
    class_members,
    from_noise,
    from_real,
    step_order,
)
from distill_jax.merging import merge
from distill_jax.methods.condensing import condense
from distill_jax.nn import (
    convnet,
    from_functions,
    from_linen,
    from_nnx,
    lenet,
    mlp,
)
from distill_jax.objectives.combine import weighted_sum
from distill_jax.objectives.dc import gradient_matching
from distill_jax.objectives.dd import unrolled
from distill_jax.objectives.dm import distribution_matching
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parallel import batch_map
from distill_jax.parameterization.pixels import pixels
from distill_jax.quantising import quantise
from distill_jax.runs.assess import evaluate
from distill_jax.runs.run import Run
from distill_jax.types import Distilled, TrainingSet

__all__ = [
    "Artifact", "ArtifactError", "Condenser", "ConfigError", "DataError",
    "Distilled", "Run", "Source", "TrainingSet", "__version__", "backprop",
    "batch_map", "class_members", "condense", "convnet", "distill", "distiller",
    "distribution_matching", "evaluate", "evaluate_set", "examples", "export",
    "from_arrays", "from_functions", "from_linen", "from_nnx", "from_noise",
    "from_real", "from_samples", "from_texts", "gradient_matching", "learn",
    "lenet", "load", "merge", "methods", "mixed", "mlp", "per_class", "pixels",
    "quantise", "read", "save", "step_order", "student", "to_artifact",
    "unrolled", "weighted_sum"
]
