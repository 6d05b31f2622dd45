"""Makes XLA compile quickly on a CPU, for programs of few steps."""

import jaxlib.version

# One piece of code instead of up to 32, which takes less time on few cores. The
# older of XLA's two code generators compiles faster: jaxlib 0.11.1 is the first
# without it, and XLA ends a process that has an unknown flag.
FLAGS = "--xla_cpu_parallel_codegen_split_count=1"
if jaxlib.version.__version_info__ < (0, 11, 1):
  FLAGS += " --xla_cpu_use_fusion_emitters=false"
