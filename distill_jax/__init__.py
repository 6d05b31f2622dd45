"""Dataset distillation in JAX: the field as composable pure functions.

    argmin_S E[ objective(S, real) ]

What is stored (parameterization) x what is matched (objective) x how its
gradient is estimated x how the outer problem is optimised, over one outer
loop, one artifact and one evaluator.
"""

from distill_jax._version import __version__
from distill_jax.artifact import Artifact, from_samples, load, save, to_artifact
from distill_jax.checkpoint import Checkpoints
from distill_jax.data import (
    Source,
    from_arrays,
    mixed,
    per_class,
    read,
)
from distill_jax.errors import (
    ArtifactError,
    ConfigError,
    DataError,
)
from distill_jax.estimators.backprop import backprop
from distill_jax.evaluation import (
    evaluate_set,
    in_order,
    run_baselines,
    student,
)
from distill_jax.evaluation.learners import kernel_ridge
from distill_jax.exchange import export
from distill_jax.initialisation import (
    class_members,
    from_noise,
    from_real,
    step_order,
)
from distill_jax.nn import (
    convnet,
    from_linen,
    lenet,
    mlp,
)
from distill_jax.objectives.combine import weighted_sum
from distill_jax.objectives.dc import gradient_matching
from distill_jax.objectives.dd import unrolled
from distill_jax.objectives.dm import distribution_matching
from distill_jax.objectives.kip import kernel_regression
from distill_jax.objectives.mtt import trajectory_matching
from distill_jax.outer_loop import distill, distiller, learn
from distill_jax.parallel import batch_map
from distill_jax.parameterization.pixels import pixels
from distill_jax.text.source import from_texts
from distill_jax.trajectories.experts import train_experts
from distill_jax.types import Distilled, TrainingSet

__all__ = [
    "Artifact",
    "ArtifactError",
    "Checkpoints",
    "ConfigError",
    "DataError",
    "Distilled",
    "Source",
    "TrainingSet",
    "__version__",
    "backprop",
    "batch_map",
    "class_members",
    "convnet",
    "distill",
    "distiller",
    "distribution_matching",
    "evaluate_set",
    "export",
    "from_arrays",
    "from_linen",
    "from_noise",
    "from_real",
    "from_samples",
    "from_texts",
    "gradient_matching",
    "in_order",
    "kernel_regression",
    "kernel_ridge",
    "learn",
    "lenet",
    "load",
    "mixed",
    "mlp",
    "per_class",
    "pixels",
    "read",
    "run_baselines",
    "save",
    "step_order",
    "student",
    "to_artifact",
    "train_experts",
    "trajectory_matching",
    "unrolled",
    "weighted_sum",
]
