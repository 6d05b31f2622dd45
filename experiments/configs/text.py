"""The configuration of text distillation, on the field's corpora or your own.

TDD: Sucholutsky & Schonlau, "Soft-Label Dataset Distillation and Text Dataset
Distillation", 2019, arXiv 1910.02551: SLDD on frozen word vectors. Their runs
took GloVe's; here vectors are learned on training texts unless a file is given.
"""

import options
from choices import one_of
from configs.unrolled import unrolled

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
NETWORKS = ("bi_lstm", "bi_rnn", "conv_lstm", "text_convnet", "transformer")


def tdd(dataset: str, *, network: str, samples: int, steps: int, epochs: int):
  """`get_config` of TDD on a data set, with the published sizes as defaults.

  Options after the colon: `network=text_convnet|bi_rnn|bi_lstm|conv_lstm|
  transformer`, `fixed`, `random`, `samples=N`, `steps=S`, `epochs=E`,
  `theta=K` (initialisations per outer step), `vectors=FILE` (instead of learned
  ones), `own` (vectors learned on the data set alone), `quick`.
  """
  sizes = dict(samples=samples, steps=steps, epochs=epochs)

  def get_config(text=None):
    chosen = options.parse(
        text, network=network, fixed=False, random=False, quick=False,
        theta=1, vectors="", own=False, **sizes,
    )
    one_of(NETWORKS, "network", chosen.network)
    options.exclusive(chosen, "own", "vectors")
    switches = [name for name in ("fixed", "random", "quick")
                if getattr(chosen, name)]
    config = unrolled(
        ",".join([*switches, f"theta={chosen.theta}"]),
        method="tdd",
        data=DATASETS[dataset]["spec"],
        network=dict(name=chosen.network),
        preprocessing="word_vectors",
        images=chosen.samples, steps=chosen.steps, epochs=chosen.epochs,
        step_size=_STEP_SIZES[chosen.network],
    )
    config.text = text_fields(dataset, chosen)
    return config

  return get_config


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
      dim=100, window=5, min_count=2, power=0.0,
  )


_STEP_SIZES = dict(
    bi_lstm=1.5, bi_rnn=0.5, conv_lstm=1.5, text_convnet=0.01, transformer=0.01
)
