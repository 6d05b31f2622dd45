"""Makes XLA compile quickly on a CPU, for programs of few steps."""

import jaxlib.version

# The older of XLA's two code generators compiles in half the time. jaxlib
# 0.11.1 is the first without it, and XLA ends a process that has an unknown
# flag.
FLAGS = (
    "--xla_cpu_use_fusion_emitters=false"
    if jaxlib.version.__version_info__ < (0, 11, 1) else "")
