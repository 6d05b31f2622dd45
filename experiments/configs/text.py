"""The configuration of text distillation, on the field's corpora or your own.

TDD: Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text Dataset
Distillation", 2019, arXiv 1910.02551: SLDD on frozen word vectors. Their runs
took GloVe's; here vectors are learned on training texts unless a file is given.
"""

import options
from configs.datasets import Dataset
from configs.matching import METHODS as MATCHING
from configs.matching import choose_start, common
from configs.unrolled import unrolled

from distill_jax.choices import one_of

# Whose training texts vectors are learned on, beside the data set's own.
CORPORA = {
    "trec": "csv:trec?text=text&tokens=spaces",
    "sst5": "csv:sst5?text=text&tokens=spaces",
    "imdb": "csv:imdb?text=text",
    "tweets": "csv:twitter_airline?text=text",
}
DATASETS = {
    "trec6": dict(spec=CORPORA["trec"], length=30),
    "trec50": dict(spec=CORPORA["trec"] + "&label=fine", length=30),
    "sst5": dict(spec=CORPORA["sst5"], length=56),
    "imdb": dict(spec=CORPORA["imdb"], length=400, max_words=30_000),
    "tweets": dict(spec=CORPORA["tweets"], length=40),
}
# Their sizes, and where inner step sizes start.
NETWORKS = {
    "bi_lstm": (dict(hidden=100), 1.5),
    "bi_rnn": (dict(hidden=100), 0.5),
    "conv_lstm": (dict(hidden=10), 1.5),
    "text_convnet": (dict(width=100), 0.1),
    "transformer": (dict(width=64), 0.1),
}


def tdd(dataset: str, *, network: str, samples: int, steps: int, epochs: int):
  """`get_config` of TDD on a data set, with the published sizes as defaults.

  Options after the colon: `network=text_convnet|bi_rnn|bi_lstm|conv_lstm|
  transformer`, `fixed`, `random`, `samples=N`, `steps=S`, `epochs=E`,
  `theta=K` (initialisations per outer step), `snap=R` (R times words take the
  place of vectors, and labels and step sizes are learned for them),
  `vectors=FILE` (instead of learned ones) or `own` (vectors learned on the data
  set alone, not on the other corpora too), `quick`.
  """
  sizes = dict(samples=samples, steps=steps, epochs=epochs)

  def get_config(text=None):
    chosen = _shared(
        text, network=network, fixed=False, random=False, theta=1, snap=0,
        **sizes,
    )
    sizes_of_network, step_size = one_of(NETWORKS, "network", chosen.network)
    switches = [name for name in ("fixed", "random", "quick")
                if getattr(chosen, name)]
    config = unrolled(
        ",".join([*switches, f"theta={chosen.theta}"]),
        method="tdd",
        data=DATASETS[dataset]["spec"],
        network=dict(name=chosen.network, **sizes_of_network),
        preprocessing="word_vectors",
        images=chosen.samples, steps=chosen.steps, epochs=chosen.epochs,
        step_size=step_size,
        # Chosen on validation parts of TREC and SST in runs of 300 steps.
        batch_size=128, learning_rate=0.05, label_learning_rate=0.05,
        step_size_learning_rate=0.05, beta1=0.9, restart_after=0,
        num_steps=2_000,
    )
    config.text = text_fields(dataset, chosen)
    config.snap = dict(rounds=chosen.snap, num_steps=300)
    if dataset == "trec50":  # some classes have fewer texts than rows
      config.start = "noise"
    if chosen.quick:
      config.batch_size, config.snap.num_steps = 32, 20
    return config

  return get_config


def matching(method: str, dataset: str):
  """`get_config` of DC or DM on sentences of word vectors.

  The field has published neither on texts: sizes are those of images, students
  train by recipe `dc`. Options after the colon: `ipc=N` (sentences per class),
  `network=...`, `init=noise|real|class_mean|kmeans|herding`, `vectors=FILE`,
  `own`, `learn_labels` (of DC), `quick`.
  """

  def get_config(text=None):
    chosen = _shared(
        text, ipc=10, network="text_convnet", init="real", learn_labels=False,
    )
    config = _on_text(dataset, chosen)
    config.method = method
    MATCHING[method](config, _PLAIN, chosen)
    sizes, _ = one_of(NETWORKS, "network", chosen.network)
    config.network = dict(name=chosen.network, **sizes)
    config.start, config.batch_size = chosen.init, 64
    config.optimizer, config.learning_rate = "adam", 0.02
    config.schedule, config.num_steps = "cosine", 600
    config.recipe = dict(name="dc", num_epochs=300, step_size=0.1)
    choose_start(config, chosen)
    if chosen.quick:
      config.recipe.num_epochs = 20
    return _quick(config) if chosen.quick else config

  return get_config


def kernel(dataset: str):
  """`get_config` of KIP on averaged word vectors, one a sentence.

  Options after the colon: `samples=N`, `labels` (learns them), `vectors=FILE`,
  `own`, `quick`.
  """

  def get_config(text=None):
    chosen = _shared(text, samples=60, labels=False)
    chosen.ipc, chosen.learn_labels = 0, chosen.labels
    config = _on_text(dataset, chosen)
    config.method = "kip"
    config.preprocessing = "averaged_vectors"
    config.network = dict(
        name="kernel_ridge", ridge=1e-6, kernel="fully_connected", depth=1,
        kind="ntk",
    )
    config.num_samples = chosen.samples
    config.label_space = config.start_labels = "centred"
    config.start, config.batch_size = "real", 64
    config.optimizer, config.beta1 = "adam", 0.9
    config.learning_rate = config.label_learning_rate = 0.01
    config.schedule, config.num_steps = "cosine", 500
    config.recipe = dict(name="kip", num_steps=5_000)
    config.evaluation.num_networks = 1
    return _quick(config) if chosen.quick else config

  return get_config


# What the matching methods ask of a data set of images.
_PLAIN = Dataset("", (0.0,), (1.0,))


def _shared(text: str | None, **defaults):
  chosen = options.parse(text, vectors="", own=False, quick=False, **defaults)
  options.exclusive(chosen, "own", "vectors")
  return chosen


def _on_text(dataset: str, chosen):
  """What methods share, on texts and without augmentation."""
  chosen.preprocessing, chosen.width = "word_vectors", 0
  chosen.parameterization = ""
  config = common(_PLAIN, chosen)
  config.data = DATASETS[dataset]["spec"]
  config.augmentation.strategy = ""
  config.text = text_fields(dataset, chosen)
  config.evaluation.baselines = "random_real,class_mean"
  return config


def _quick(config):
  config.num_steps, config.log_every, config.checkpoint_every = 20, 5, 10
  config.batch_size = 16
  config.evaluation.num_networks = 2
  config.evaluation.num_sets, config.evaluation.networks_per_set = 2, 1
  return config


def text_fields(dataset: str, chosen) -> dict:
  """How texts become vectors; see docs/text.md."""
  others = [c for name, c in CORPORA.items() if not dataset.startswith(name)]
  return dict(
      length=DATASETS[dataset]["length"],
      sample_length=0,
      max_words=DATASETS[dataset].get("max_words", 0),
      drop_duplicates=False,
      vectors=chosen.vectors,
      corpora=() if chosen.own or chosen.vectors else tuple(others),
      dim=0 if chosen.vectors else 100, window=5, min_count=2, power=0.0,
  )
