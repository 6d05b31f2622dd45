"""Further columns of a report: accuracy under attack, and calibration.

They need the outputs and gradients of networks, not only predicted classes.
They therefore read the trained networks themselves; see `trained.networks_of`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from distill_jax.artifact import Artifact
from distill_jax.data.source import Split
from distill_jax.errors import ConfigError, shown
from distill_jax.evaluation import attacks, calibration
from distill_jax.evaluation.trained import networks_of, outputs_on
from distill_jax.types import Array, Network, PyTree

NAMES = ("attacks", "calibration")
_ATTACKS = 2**30 + 1  # folded into a key; larger than any network's number
NUM_ATTACKED = 1000  # samples; an attack costs 100 times as much as a test


def measured_of_set(
    key: Array, artifact: Artifact, split: Split, names: Sequence[str], *,
    network: Network, num_networks: int, eps: float,
    num_samples: int) -> dict[str, Any]:
  """Measures the networks that `evaluate_set` trains with the same key.

  Args:
    key: as in `evaluate_set`.
    artifact: the set.
    split: real data.
    names: names of columns, among `NAMES`.
    network: the network; build it once, as a new one compiles again.
    num_networks: R.
    eps: see `under_attack`.
    num_samples: see `under_attack`.
  """
  if "attacks" in names:
    check_attacked(split, eps, num_samples)
  networks = networks_of(
      key, artifact, network=network, num_networks=num_networks)
  found = {}
  if "attacks" in names:
    found["attacks"] = under_attack(
        jax.random.fold_in(key, _ATTACKS),
        networks,
        split,
        network=network,
        eps=eps,
        num_samples=num_samples)
  if "calibration" in names:
    found["calibration"] = calibration_of(networks, split, network=network)
  return found


def check_attacked(
    split: Split, eps: float, num_samples: int, num_steps: int = 1) -> None:
  """Refuses settings of `under_attack`, before networks are trained.

  Args:
    split: the samples that are attacked.
    eps: see `under_attack`.
    num_samples: see `under_attack`.
    num_steps: see `under_attack`.

  Raises:
    ConfigError: numbers of a wrong type or out of range.
  """
  attacks.pgd(eps, num_steps)
  if attacks.space_of(split).unit == "pixels" and eps > 1:
    raise ConfigError(
        f"`eps` must be at most 1, as pixels are in [0, 1]; got {eps:g}. Usual "
        "is 8/255, 0.0314.")
  if not isinstance(num_samples, int | np.integer) or num_samples < 0:
    raise ConfigError(
        "`num_attacked` must be a whole number of at least 0; got "
        f"{shown(num_samples)}.")


def under_attack(
    key: Array,
    networks: PyTree,
    split: Split,
    *,
    network: Network,
    eps: float = attacks.EPS,
    num_steps: int = 20,
    num_samples: int = NUM_ATTACKED) -> dict[str, Any]:
  """Accuracies on attacked samples of a split; see `attacks`.

  Args:
    key: consumed. It chooses the samples and the random starts of PGD, which
      are the same for all networks and sets.
    networks: variables of R networks, stacked.
    split: real data.
    network: the network that the variables belong to.
    eps: largest perturbation, in units of pixels in [0, 1] or of model space.
    num_steps: number of PGD steps, and of random corners that are tried.
    num_samples: number of attacked samples, drawn once; 0 for all.

  Returns:
    JSON values: `unit`, `eps`, `num_steps`, `num_samples`; the `summary` of the
    accuracies `clean` (on the same samples), `fgsm`, `pgd` and `random_signs`;
    and that of `zero_gradient`, the share of samples without a gradient.

  Raises:
    ConfigError: see `check_attacked`.
  """
  check_attacked(split, eps, num_samples, num_steps)
  k_choice, k_attack = jax.random.split(key)
  size = split.num_samples
  order = np.asarray(jax.random.permutation(k_choice, size))
  indices = np.sort(order[:num_samples or size])
  kinds = (
      attacks.fgsm(eps), attacks.pgd(eps, num_steps),
      attacks.random_signs(eps, num_steps))
  found: dict[str, list[float]] = {}
  for variables in each(networks):
    for attack in kinds:
      right = attacks.right_under(
          k_attack, variables, split, indices, network=network, attack=attack)
      clean, left, flat = np.asarray(right).mean(0, np.float64).tolist()
      found.setdefault(attack.name, []).append(left)
      if attack.name == "fgsm":
        found.setdefault("clean", []).append(clean)
        found.setdefault("zero_gradient", []).append(flat)
  return dict(
      unit=attacks.space_of(split).unit,
      eps=float(eps),
      num_steps=num_steps,
      num_samples=len(indices),
      **{
          name: summary(values) for name, values in found.items()
      })


def calibrated(outputs: Iterable[np.ndarray],
               classes: np.ndarray) -> dict[str, Any]:
  """Expected calibration error and negative log-likelihood; see `calibration`.

  Args:
    outputs: logits [N, K] of each of R networks.
    classes: [N] int, the true classes.

  Returns:
    JSON values: `num_bins`, `ece` (a fraction) and `nll` (nats). The last two
    are a `summary` over the networks whose logits are finite.
  """
  outputs = list(outputs)
  measures = dict(
      ece=calibration.expected_calibration_error,
      nll=calibration.negative_log_likelihood)
  return dict(
      num_bins=calibration.NUM_BINS,
      **{
          name: summary([measure(logits, classes) for logits in outputs])
          for name, measure in measures.items()
      })


def calibration_of(networks: PyTree, split: Split, *,
                   network: Network) -> dict[str, Any]:
  """Computes `calibrated` for R stacked networks on a split."""
  outputs = map(
      np.asarray,
      map(partial(outputs_on, split=split, network=network), each(networks)))
  return calibrated(outputs, np.asarray(split.labels))


def each(networks: PyTree) -> Iterable[PyTree]:
  """Yields the variables of one network after the other, of a stack."""
  for i in range(len(jax.tree.leaves(networks)[0])):
    yield jax.tree.map(lambda leaf, i=i: leaf[i], networks)


def summary(values: Iterable[float]) -> dict[str, Any]:
  """Mean, standard deviation and error, and values; None if not finite."""
  per_network = [float(v) if np.isfinite(v) else None for v in values]
  finite = np.array([v for v in per_network if v is not None])
  several = finite.size > 1
  std = float(finite.std(ddof=1)) if several else 0.0
  return dict(
      mean=float(finite.mean()) if finite.size else None,
      std=std,
      stderr=std / max(finite.size, 1)**0.5,
      per_network=per_network)


def lines(report: Mapping[str, Any]) -> list[str]:
  """The lines that are printed for the columns of a report."""
  found = []
  if block := report.get("attacks"):
    found.append(
        f"accuracy % of {block['num_samples']:,} test samples moved by at most "
        f"{farthest(block)}: clean {_percent(block['clean'])}, FGSM "
        f"{_percent(block['fgsm'])}, PGD-{block['num_steps']} "
        f"{_percent(block['pgd'])}, random corners "
        f"{_percent(block['random_signs'])}; without gradient "
        f"{_percent(block['zero_gradient'])} % of them")
  if block := report.get("calibration"):
    found.append(
        f"calibration: ECE {_percent(block['ece'])} % ({block['num_bins']} "
        f"bins), NLL {_number(block['nll'])} nats")
  return found


def farthest(block: Mapping[str, Any]) -> str:
  """The largest perturbation with its unit, such as 8/255 (pixels)."""
  eps, unit = block["eps"], block["unit"]
  text = f"{255 * eps:.3g}/255" if unit == "pixels" else f"{eps:.3g}"
  return f"{text} ({unit})"


def _percent(entry: Mapping[str, Any]) -> str:
  return _number(entry, 100, 2)


def _number(entry: Mapping[str, Any], scale: float = 1, digits: int = 3) -> str:
  if entry["mean"] is None:
    return "not finite"
  error = ""
  if len(entry["per_network"]) > 1:
    error = f" ± {scale * entry['stderr']:.{digits}f}"
  return f"{scale * entry['mean']:.{digits}f}{error}"
