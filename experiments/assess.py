"""What follows distilling: accuracies, baselines, report, table, figures."""

import time
from pathlib import Path

import build
import jax
import known
import numpy as np
from console import say
from workdir import MetricsLog, command, write_json

from distill_jax import figures, models, storage
from distill_jax.evaluation import (
  Transfer,
  cost_of_set,
  evaluate_set,
  hard_labels,
  learners,
  report_dict,
  table,
  transfer_table,
)
from distill_jax.evaluation.recipes import from_spec
from distill_jax.evaluation.text_reference import TITLE as TFIDF
from distill_jax.labels import classes_of_labels
from distill_jax.segments import updates
from distill_jax.text.words import is_text, sentences, snapped


def assess(
    key,
    artifact,
    source,
    *,
    settings,
    spec: str,
    seconds: float | None,
    cache: Path,
    data_dir: str | None = None,
    networks: dict | None = None,
    recipe: dict | None = None,
) -> dict:
  """The report of a distilled set on real data.

  Args:
    key: of the evaluation; network i is the same for every set.
    artifact: the set.
    source: real data, in the artifact's preprocessing.
    settings: num_networks; baselines ('', 'all' or names with commas);
      num_sets and networks_per_set of the baselines; full_data; and where
      they are not 0.1 and 0 the data's validation_fraction and seed.
    spec: SPEC of the data.
    seconds: that distilling took; None where unknown.
    cache: a JSON file of what was measured on real data before.
    data_dir: a folder of data sets, or None.
    networks: `{name: network spec}`; the first is the one reported on top. The
      artifact's own by default.
    recipe: instead of the artifact's.

  Returns:
    A report, schema 1.
  """
  networks = networks or {artifact.network["name"]: artifact.network}
  if recipe:
    artifact = artifact._replace(recipe=recipe)
  name, *others = networks
  chosen = from_spec(artifact.recipe)
  built = {
      n: learners.from_spec(network, chosen, source.num_classes)
      for n, network in networks.items()
  }
  trained = [n for n in built if not models.is_kernel(networks[n])]
  for n in trained:  # refuses the wrong size
    jax.eval_shape(
        models.from_spec(networks[n], source.num_classes).init, key,
        artifact.inputs[:1],
    )
  began = time.perf_counter()
  say(f"evaluating on {source.test.num_samples:,} test samples, at most "
      f"{settings['num_networks']} networks")
  reports = {
      n: evaluate_set(
          key, artifact, source.test, learner=learner,
          num_networks=settings["num_networks"],
      ) for n, learner in built.items()
  }
  training_set = artifact.training_set
  hard = None
  if artifact.label_regime != "hard":
    hard = evaluate_set(
        key, hardened(artifact), source.test, learner=built[name],
        num_networks=settings["num_networks"],
    )
  words = None
  if is_text(artifact):
    words = evaluate_set(
        key, snapped(artifact), source.test, learner=built[name],
        num_networks=settings["num_networks"],
    )
  baselines = build.baseline_names(settings["baselines"], networks[name])
  if baselines:
    say(f"baselines: {', '.join(baselines)}")
  results = known.baselines(
      key, artifact, source, networks[name], cache=cache, names=baselines,
      num_sets=settings["num_sets"],
      networks_per_set=settings["networks_per_set"],
      num_samples=artifact.num_rows,
      storage_bytes=artifact.storage_bytes["total"],
  )
  full = {}
  if settings["full_data"]:
    for n in trained:
      say(f"training {n} on all data")
      full[n] = known.full_data(key, source, networks[n], cache)
  references = {}
  if settings["full_data"]:
    linear = known.linear(
        spec, source, data_dir, cache,
        validation_fraction=settings.get("validation_fraction", 0.1),
        seed=settings.get("seed", 0),
    )
    references = {TFIDF: linear} if linear else {}
  transfers = {}
  if others:
    say(f"random real data on {', '.join(built)}")
    own = {name: results["random_real"]} if "random_real" in results else {}
    transfers = {
        n: Transfer(
            reports[n],
            own.get(n) or _random_real(
                key, artifact, source, networks[n], cache,
                reports[n].num_networks,
            ),
            full.get(n),
        ) for n in built
    }
  cost = None
  if name in trained:
    network = models.from_spec(networks[name], source.num_classes)
    cost = cost_of_set(key, network, training_set, recipe=chosen)
  return report_dict(
      reports[name], training_set,
      network=name,
      data=dict(
          spec=spec, fingerprint=source.fingerprint(), **source.facts
      ),
      seconds=dict(
          distill=seconds and round(seconds, 1),
          evaluate=round(time.perf_counter() - began, 1),
      ),
      storage_bytes=artifact.storage_bytes,
      label_regime=artifact.label_regime,
      seed=artifact.provenance.get("seed"),
      command=command(),
      baselines=results or None,
      hard_labels=hard,
      snapped=words,
      references=references,
      full_data=full.get(name),
      cost=cost,
      networks=transfers,
  )


def show(report: dict) -> str:
  """The report as text: of its first network, then of all of them."""
  parts = [table(report)]
  if "networks" in report:
    parts.append(transfer_table(report))
  return "\n\n".join(parts)


def finish(
    run, config, folder: Path, artifact, outcome, spec: str, cache_dir: Path,
    data_dir: str | None = None,
) -> None:
  """Report, table and figures of a run, in its folder."""
  report = assess(
      run.evaluation_key, artifact, run.source,
      settings=dict(
          config.evaluation, validation_fraction=config.validation_fraction,
          seed=config.seed,
      ),
      spec=spec, seconds=outcome.seconds,
      cache=cache_dir / known.FILE, data_dir=data_dir,
  )
  report |= outcome.measured
  start = run.estimator.samples(run.state.distilled).inputs
  if run.rows.members is not None and run.rows.members.shape[1] > 1:
    report["updates"] = updates(
        start, artifact.inputs, run.rows.members
    )._asdict()
  write_json(folder / "report.json", report)
  words = sentences(artifact) if is_text(artifact) else None
  if words is not None:
    _write_words(folder / "words.txt", artifact, words)
  if config.figures:
    draw(folder, artifact, report, start=start, words=words)
  print(show(report))
  made = ("distilled.safetensors", "report.json", "metrics.jsonl", "words.txt",
          "figures")
  print(f"\nin {folder}:", ", ".join(n for n in made if (folder / n).exists()))


def _write_words(file: Path, artifact, words) -> None:
  """The class and the nearest words of every sentence, a line each."""
  classes = classes_of_labels(artifact.training_set.samples.labels)
  storage.replace(file, "".join(
      f"{artifact.class_names[c]}\t{' '.join(line)}\n"
      for c, line in zip(classes, words, strict=True)
  ).encode())


def draw(
    folder: Path, artifact, report: dict, start=None, words=None
) -> None:
  """Every figure of a run, in `folder/figures`.

  Args:
    folder: of the run.
    artifact: the set.
    report: of it.
    start: what its samples started from, or None.
    words: the nearest words of its sentences, or None for other samples.
  """
  where = folder / "figures"
  where.mkdir(exist_ok=True)
  log = MetricsLog.read(folder)
  if log:
    figures.save(figures.curves(log), where / "curves.png")
  if report["baselines"]:
    figures.save(figures.accuracy_bars(report), where / "baselines.png")
  if artifact.modality == "image" and artifact.inputs.shape[3] in (1, 3):
    invert = artifact.preprocessing.invert
    figures.save(
        figures.sample_grid(
            invert(artifact.inputs), artifact.training_set.samples.labels,
            artifact.class_names,
            start=None if start is None else invert(start),
            order=artifact.order,
        ),
        where / "samples.png",
    )
  if words is not None:
    of_words = np.array_equal(snapped(artifact).inputs, artifact.inputs)
    figures.save(
        figures.decoded_sentences(
            words, artifact.training_set.samples.labels,
            artifact.class_names, order=artifact.order, of_words=of_words,
        ),
        where / "samples.png",
    )
    figures.save(
        figures.heat_maps(
            artifact.inputs, artifact.training_set.samples.labels,
            artifact.class_names,
        ),
        where / "heat_maps.png",
    )


def _random_real(key, artifact, source, spec, cache, num_networks):
  """Three or more sets, with at least as many networks together."""
  each = min(num_networks, 5)
  return known.baselines(
      key, artifact, source, spec, cache=cache, names=("random_real",),
      num_sets=max(3, -(-num_networks // each)),
      networks_per_set=each, num_samples=artifact.num_rows,
  )["random_real"]


def hardened(artifact):
  """The artifact with the one-hot row of the class in place of each label."""
  centred = artifact.label_space == "centred"
  labels = hard_labels(artifact.training_set, centred=centred).samples.labels
  return artifact._replace(
      labels=labels, label_space="centred" if centred else "raw"
  )
