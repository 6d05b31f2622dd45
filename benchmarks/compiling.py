"""How XLA compiles quickly on a CPU, for programs that take a few steps."""

import jaxlib.version

# The older of its two code generators takes half the time. jaxlib 0.11.1 is the
# first without it, and XLA ends a process that gives it an unknown flag.
FLAGS = (
    "--xla_cpu_use_fusion_emitters=false"
    if jaxlib.version.__version_info__ < (0, 11, 1) else "")
