"""The configuration that DD and SLDD share, on any images.

Wang et al., "Dataset Distillation", 2018, arXiv 1811.10959; Sucholutsky &
Schonlau, "Soft-Label Dataset Distillation and Text Dataset Distillation",
2019, arXiv 1910.02551. What a data set changes is an argument here; what one
run changes is an option after the colon of `--config=FILE:options`.
"""

import ml_collections
import options


def unrolled(
    text: str,
    *,
    method: str,
    data: str,
    network: dict,
    preprocessing,
    images: int = 100,
    steps: int = 10,
    epochs: int = 3,
    fixed: bool = False,
    step_size: float | None = None,
    quick: dict | None = None,
    **changes,
) -> ml_collections.ConfigDict:
  """Builds the configuration.

  Args:
    text: what follows the colon: `fixed`, `random`, `images=N`, `steps=S`,
      `epochs=E`, `theta=K` (initialisations per outer step), `quick`.
    method: 'dd', 'sldd' or 'tdd'; only DD's labels are held.
    data: SPEC of the data set.
    network: name and arguments, see `build.network`.
    preprocessing: 'standardise', 'zca', or mean and std.
    images: distilled samples M, by default.
    steps: S, by default.
    epochs: E, by default.
    fixed: one known initialisation, by default.
    step_size: inner step sizes start here; by default what suits images of
      unit variance and a network of LeNet's kind.
    quick: what the option `quick` changes besides the common.
    **changes: other fields.

  Returns:
    Every field a run has; `docs/configuration.md` describes them.
  """
  chosen = options.parse(
      text, fixed=False, random=False, quick=False,
      images=images, steps=steps, epochs=epochs, theta=1,
  )
  options.exclusive(chosen, "fixed", "random")
  fixed = chosen.fixed or (fixed and not chosen.random)

  config = ml_collections.ConfigDict()
  config.method = method
  config.learn_labels = method != "dd"
  config.seed = 0

  config.data = data
  config.preprocessing = preprocessing
  config.validation_fraction = 0.1
  config.network = network

  config.parameterization = dict(name="pixels")
  config.clamp = False
  config.samples_per_class = 0
  config.num_samples = chosen.images
  config.num_steps_per_epoch = chosen.steps
  config.num_epochs = chosen.epochs
  config.student_init = "fixed" if fixed else "random"
  config.num_initialisations = chosen.theta
  config.start = "real"
  config.start_labels = "one_hot"
  config.step_size = step_size or (0.02 if fixed else 0.03)
  config.momentum = 0.0

  # Chosen by loss on training batches of MNIST, LeNet. With a fixed
  # initialisation runs of one length differ by chance more than batches of 64
  # and 512 do, so the small batch buys outer steps; from real samples the loss
  # stood at two thirds of that from noise for long, in the one pair compared.
  # Late in a run the loss wanders: where more steps are given than one cosine
  # takes, it restarts, and the set of the lowest loss is kept.
  # With fresh initialisations step sizes learn slowly: at 0.002 they tripled
  # and networks spread widely.
  config.batch_size = 64 if fixed else 128
  config.learning_rate = 0.05 if fixed else 0.002
  config.label_learning_rate = config.learning_rate
  config.step_size_learning_rate = 0.02 if fixed else 0.0005
  config.optimizer = "adam"
  config.schedule = "cosine"
  config.restart_after = 60_000 if fixed else 0
  config.restart_every = 20_000
  config.beta1 = 0.5 if fixed else 0.9
  config.beta2 = 0.999
  config.clip_norm = 1.0
  config.weight_decay = 0.0
  config.average = 0.0

  config.num_steps = 60_000 if fixed else 8_000
  config.log_every = 100
  config.checkpoint_every = 100

  config.evaluation = dict(
      num_networks=1 if fixed else 20, baselines="", full_data=False,
      num_sets=20, networks_per_set=1 if fixed else 10,
  )
  config.figures = True
  config.update(changes)
  if chosen.quick:
    config.num_steps, config.log_every, config.checkpoint_every = 100, 20, 20
    config.batch_size = 256
    config.evaluation.num_networks = 1 if fixed else 5
    config.evaluation.num_sets, config.evaluation.networks_per_set = 3, 1
    config.update(quick or {})
  return config
