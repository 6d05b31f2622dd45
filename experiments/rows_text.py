"""Rows of text distillation on one core.

Published accuracies are with GloVe's vectors.
"""

from row import Row, distilled

GROUP = "text"
_FIXED = {"evaluation.full_data": True, "evaluation.baselines": ""}
_RANDOM = {
    "evaluation.num_networks": 200, "evaluation.num_sets": 20,
    "evaluation.networks_per_set": 10, **_FIXED,
}
_ALL = {"evaluation.baselines": "all", "evaluation.num_sets": 20}
# Of 2,000 outer steps: a row is about an hour of one core at most.
_SHORTER = {"num_steps": 1_000}
# A network reads the test part of IMDB in a minute.
_FEW = {
    **_SHORTER,
    "evaluation.num_networks": 10, "evaluation.networks_per_set": 1,
    "evaluation.num_sets": 3, "evaluation.baselines": "random_real",
    "evaluation.full_data": True,
}
_SIXTY = "tdd:data=trec6,network=text_convnet,rows=60,steps=10,epochs=1"
_FIFTY = "tdd:data=sst5,network=text_convnet,rows=50,steps=10,epochs=1"
_TDD = {
    **{
        f"tdd_trec6_bi_lstm_fixed_6_seed{seed}": (
            "tdd:data=trec6,fixed", {"seed": seed, **_SHORTER, **_FIXED}, 87.4,
        ) for seed in range(3)
    },
    "tdd_trec6_bi_lstm_fixed_6_snap2": (
        "tdd:data=trec6,fixed,snap=2", {**_SHORTER, **_FIXED}, None,
    ),
    "tdd_trec6_bi_lstm_random_6": (
        "tdd:data=trec6", {**_SHORTER, **_RANDOM}, 62.0,
    ),
    "tdd_trec6_text_convnet_fixed_60": (
        f"{_SIXTY},fixed", {**_FIXED, **_ALL}, 79.2,
    ),
    "tdd_trec6_text_convnet_random_60": (
        _SIXTY, {**_SHORTER, **_RANDOM, **_ALL}, 77.3,
    ),
    "tdd_sst5_text_convnet_fixed_50": (f"{_FIFTY},fixed", _FIXED, 37.5),
    "tdd_sst5_text_convnet_random_50": (_FIFTY, _RANDOM, 36.3),
    "tdd_sst5_bi_rnn_fixed_5": ("tdd:data=sst5,fixed", _FIXED, 36.0),
    "tdd_tweets_text_convnet_random_3": (
        "tdd:data=tweets", {**_RANDOM, **_ALL}, None,
    ),
    "tdd_tweets_text_convnet_random_3_snap2": (
        "tdd:data=tweets,snap=2", _RANDOM, None,
    ),
    "tdd_tweets_text_convnet_random_30": (
        "tdd:data=tweets,rows=30,steps=10,epochs=1",
        # Baselines of as many bytes are all of its training texts.
        {**_RANDOM, **_ALL, "evaluation.networks_per_set": 3}, None,
    ),
    "tdd_trec50_text_convnet_fixed_1000": (
        "tdd:data=trec50,fixed", {**_SHORTER, **_FIXED}, 67.4,
    ),
    "tdd_trec50_text_convnet_random_1000": (
        "tdd:data=trec50", {**_SHORTER, **_RANDOM}, 42.1,
    ),
    "tdd_imdb_text_convnet_fixed_2": ("tdd:data=imdb,fixed", _FIXED, 78.3),
    "tdd_imdb_text_convnet_random_2": ("tdd:data=imdb", _FEW, 69.6),
    "tdd_imdb_text_convnet_random_20": (
        "tdd:data=imdb,rows=20,epochs=5", _FEW, 74.3,
    ),
}
# The field has published neither on texts: sizes are those of images, and
# students train by recipe `dc`.
_MATCHING = {
    "beta1": 0.5, "num_steps": 600, "recipe.step_size": 0.1,
    "evaluation.full_data": True,
}


def rows() -> dict[str, Row]:
  """All of them, in the page's order."""
  found = {
      name: distilled(GROUP, config, fields, published)
      for name, (config, fields, published) in _TDD.items()
  }
  found["dc_trec6_10"] = distilled(
      GROUP, "dc:data=trec6,network=text_convnet",
      _MATCHING | {"epochs_between": 50},
  )
  found["dm_trec6_10"] = distilled(
      GROUP, "dm:data=trec6,network=text_convnet,recipe=dc", _MATCHING
  )
  found["kip_trec6_60"] = distilled(
      GROUP, "kip:data=trec6,rows=60,learn_labels", {
          "validation_fraction": 0.1, "batch_size": 64, "num_steps": 500,
          "learning_rate": 0.01, "label_learning_rate": 0.01,
          "schedule": "cosine", "evaluation.num_sets": 5,
          "evaluation.networks_per_set": 4,
      },
  )
  return found
