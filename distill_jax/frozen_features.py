"""Sets of features in closed form, for a ridge probe on a frozen network.

The probe depends on the data only through the sums G and B (see `moments`).
Each function below makes a few points to which the same probe is fitted, or
nearly the same:

    argmin_W  sum_i w_i |(z_i - m)' W + offset - y_i|^2 + lam_s |W|^2

(`probe_set`). The means are subtracted first and stored with the set, because a
constant feature would have to be 1 in every point. Below, labels of soft sets
have the mean of the real labels subtracted.

  function                    points       labels  equals the probe of all data
  sufficient_statistics_set   rank G <= D  soft    for every ridge
  smallest_set                rank B < C   soft    for one ridge
  hard_labelled_points        C            hard    for one ridge, up to scale
  class_means_and_covariance  C k          hard    for every ridge, if
                                                   C (k - 1) >= rank of the
                                                   scatter within classes
  solved_labels               any given    soft    as nearly as the points allow

The solve for labels is that of Nguyen, Chen & Lee, "Dataset Meta-Learning from
Kernel Ridge-Regression", 2020, arXiv 2011.00050, with a linear kernel, and sums
in place of the target samples; here it can be pulled towards hard labels. The
other functions are algebra on the normal equations.

Labels are centred; hard ones are rows of `labels.centred_rows`. Soft ones are
any real numbers and suit least squares only, not a cross-entropy. A ridge is
absolute, for N samples; `Moments.scale` is its unit. The probes are equal for
ridge regression only. Nothing is promised for a head trained in another way on
these points, or for their nearest neighbours.
"""

import numpy as np
from numpy.typing import ArrayLike

from distill_jax.labels import label_rows
from distill_jax.moments import Moments, check, ridge_probe
from distill_jax.probe_set import ProbeSet


def sufficient_statistics_set(
    moments: Moments,
    ridge: float,
    *,
    at_most: int | None = None,
    tolerance: float = 1e-10) -> ProbeSet:
  """At most D points with the G and B of all data, for every ridge.

  With `G = U diag(e) U'`, the points are `sqrt(e_j) u_j` and their labels `B'
  u_j / sqrt(e_j)`.

  Args:
    moments: moments of the real data.
    ridge: ridge that is stored with the set. If `at_most` leaves out
      directions, it also ranks them, by `|B' u_j|^2 / (e_j + ridge)`.
    at_most: maximal number of points; None for all, and then the set is exact.
    tolerance: directions with less than this share of the largest e_j are noise
      and are dropped.

  Returns:
    A set with soft labels.
  """
  check(moments, ridge)
  values, vectors = _spectrum(moments.gram, tolerance)
  cross = vectors.T @ moments.cross  # [r, K]
  if at_most is not None:
    _at_least_one("at_most", at_most)
    gains = np.square(cross).sum(1) / (values + ridge)
    kept = np.sort(np.argsort(-gains, kind="stable")[:at_most])
    values, vectors, cross = values[kept], vectors[:, kept], cross[kept]
  root = np.sqrt(values)[:, None]
  made = _soft(
      moments, root * vectors.T, cross / root, ridge,
      "sufficient_statistics_set")
  return made._replace(keeps_sums=True)


def smallest_set(moments: Moments, ridge: float) -> ProbeSet:
  """C - 1 points, or one for two classes, with the probe of one ridge.

  Any points that span the columns of the probe W can be used, with the labels
  `(Z_s Z_s' + lam_s I) Z_s'^+ W`. Here they are the left singular vectors of W,
  scaled to the mean length of the real features.

  Args:
    moments: moments of the real data.
    ridge: ridge of the probe that is reproduced; that of the set is its share,
      M / N.

  Returns:
    A set with soft labels.
    A set of soft labels.
  """
  left, values, right = _singular(ridge_probe(moments, ridge).weights)
  square = np.trace(moments.gram) / moments.num_samples
  own = ridge * len(values) / moments.num_samples
  length = np.sqrt(square)
  labels = (square + own) / length * values[:, None] * right
  return _soft(moments, length * left.T, labels, own, "smallest_set")


def hard_labelled_points(
    moments: Moments,
    ridge: float,
    *,
    set_ridge: float | None = None) -> ProbeSet:
  """One point with a hard label for each class, and the probe of one ridge.

  With W = U diag(w) V', one output per class, the points `V diag(s) U'` and
  hard labels give `U diag(s / (s^2 + lam_s)) V'`, so that

      s = (1 + sqrt(1 - 4 lam_s w^2)) / (2 w),  w <= 1 / (2 sqrt(lam_s)).

  If lam_s is too large for that, the probe is `W / kappa` with `kappa = 2
  sqrt(lam_s) max(w)`; the offset is scaled alike, so that the predicted classes
  are those of W. The points are directions that invert the probe, not typical
  samples.

  Args:
    moments: moments of the real data.
    ridge: ridge of the probe that is reproduced.
    set_ridge: lam_s, positive; by default the largest with kappa = 1.

  Returns:
    A set of C points; point c is of class c.
  """
  check(moments, ridge if set_ridge is None else set_ridge)
  probe = ridge_probe(moments, ridge)
  weights = probe.weights
  if weights.shape[1] == 1:  # the output of class 0 is the negative one
    weights = np.concatenate([-weights, weights], axis=1)
  left, values, right = _singular(weights)
  if set_ridge is None:
    set_ridge = float(1 / (4 * values[0]**2))
  kappa = max(1.0, 2 * np.sqrt(set_ridge) * values[0])
  values = values / kappa
  root = np.sqrt(np.maximum(0.0, 1 - 4 * set_ridge * values**2))
  lengths = (1 + root) / (2 * values)
  return ProbeSet(
      probe.z_mean + right.T * lengths @ left.T,
      _hard(np.arange(moments.num_classes), moments.num_classes),
      np.ones(moments.num_classes), float(set_ridge), probe.z_mean,
      probe.y_mean / kappa, "hard_labelled_points")


def class_means_and_covariance(
    moments: Moments,
    ridge: float,
    *,
    samples_per_class: int | None = None,
    tolerance: float = 1e-10) -> ProbeSet:
  """k points per class with its mean, and the scatter within classes.

  The r directions `sqrt(e_j) u_j` of the pooled scatter are distributed to the
  classes. Those of class c (at most k - 1) are the axes of a simplex around its
  mean, whose points have weight n_c / k. With one point per class, the points
  are the class means.

  If there are too few points for all r directions, the largest are kept, and
  the others are represented by their mean size s only: the ridge becomes lam +
  s, and the kept directions have e_j - s. If they were left out altogether, the
  probe would treat them as directions in which samples never differ, and rely
  on them.

  Args:
    moments: moments of the real data.
    ridge: ridge for all data; that of the set is the same, plus s if s is not
      0.
    samples_per_class: k; by default `1 + ceil(r / C)`, the least that is exact.
    tolerance: as in `sufficient_statistics_set`.

  Returns:
    A set of C k points with hard labels, class by class; C counts the classes
    that have samples.
  """
  check(moments, ridge)
  present = np.flatnonzero(moments.counts)
  counts, means = moments.counts[present], moments.class_means[present]
  scatter = moments.products - (means.T * counts) @ means
  values, vectors = _spectrum(scatter, tolerance)
  if samples_per_class is None:
    samples_per_class = 1 - (-len(values) // len(present))
  _at_least_one("samples_per_class", samples_per_class)
  axes = _simplex(samples_per_class)  # [k, k - 1]
  kept = len(present) * (samples_per_class - 1)
  rest = values[kept:].sum() / max(1, moments.num_features - kept)
  directions = (np.sqrt(values[:kept] - rest) * vectors[:, :kept]).T
  points = []
  for c, (count, mean) in enumerate(zip(counts, means, strict=True)):
    own = directions[c::len(present)]
    points.append(mean + axes[:, :len(own)] @ own / np.sqrt(count))
  classes = np.repeat(present, samples_per_class)
  return ProbeSet(
      np.concatenate(points),
      _hard(classes, moments.num_classes),
      np.repeat(counts / samples_per_class, samples_per_class),
      float(ridge + rest),
      moments.z_mean,
      moments.y_mean,
      "class_means_and_covariance",
      keeps_sums=True)


def solved_labels(
    moments: Moments,
    inputs: ArrayLike,
    classes: ArrayLike,
    ridge: float,
    *,
    pull: float = 1e-6) -> ProbeSet:
  """The labels with which given points best predict all data.

  With `K = Z_s Z_s' + lam_s I` and `A = Z Z_s' K^-1`, the predictions of the
  real data are A y, and

      y = argmin |Y - A y|^2 + gamma |y - Y_hard|^2
        = (A'A + gamma I)^-1 (A'Y + gamma Y_hard),

  where A'A and A'Y need only G and B.

  Args:
    moments: moments of the real data.
    inputs: [M, D] points of any origin, such as real or distilled samples.
    classes: [M] int, their hard labels.
    ridge: ridge for all data; that of the set is its share, M / N.
    pull: gamma, positive, in units of the mean diagonal of A'A; the larger it
      is, the nearer the labels are to the hard ones.

  Returns:
    A set of these points with soft labels.
  """
  check(moments, ridge)
  inputs = np.asarray(inputs, np.float64)
  classes = np.asarray(classes)
  if inputs.shape != (len(classes), moments.num_features) or not len(classes):
    raise ValueError(
        f"`inputs` must be [M, {moments.num_features}] with a class for each; "
        f"got shapes {inputs.shape} and {classes.shape}.")
  if classes.min() < 0 or classes.max() >= moments.num_classes:
    raise ValueError(
        f"`classes` must be 0..{moments.num_classes - 1}; got "
        f"{classes.min()}..{classes.max()}.")
  if not pull > 0:
    raise ValueError(f"`pull` must be positive; got {pull}.")
  own = ridge * len(inputs) / moments.num_samples
  z = inputs - moments.z_mean
  to_labels = np.linalg.solve(z @ z.T + own * np.eye(len(z)), z)  # K^-1 Z_s
  predicted = to_labels @ moments.gram @ to_labels.T
  gamma = pull * np.trace(predicted) / len(z)
  hard = _hard(classes, moments.num_classes)
  labels = np.linalg.solve(
      predicted + gamma * np.eye(len(z)),
      to_labels @ moments.cross + gamma * (hard - moments.y_mean))
  return _soft(moments, z, labels, own, "solved_labels")


def _soft(moments, centred, labels, ridge, method) -> ProbeSet:
  """A set with soft labels; points and labels are relative to the means."""
  return ProbeSet(
      moments.z_mean + centred, moments.y_mean + labels, np.ones(len(labels)),
      float(ridge), moments.z_mean, moments.y_mean, method)


def _hard(classes, num_classes) -> np.ndarray:
  """Centred label rows in float64, whether or not JAX has it switched on."""
  rows = np.asarray(label_rows(classes, num_classes)).astype(np.float64)
  return rows - 1 / num_classes


def _spectrum(matrix, tolerance):
  """Eigenvalues [r], descending, and vectors [D, r] of a scatter matrix."""
  values, vectors = np.linalg.eigh(matrix)
  values, vectors = values[::-1], vectors[:, ::-1]
  kept = values > tolerance * values[0]
  if values[0] <= 0 or not kept.any():
    return values[:0], vectors[:, :0]
  return values[kept], vectors[:, kept]


def _singular(weights):
  """`U [D, r], w [r], V' [r, K]` of a probe; r is its rank."""
  left, values, right = np.linalg.svd(weights, full_matrices=False)
  kept = values > 1e-12 * values[0]
  if not kept.any():
    raise ValueError(
        "`moments` must tell classes apart; all have the same mean feature.")
  return left[:, kept], values[kept], right[kept]


def _simplex(size: int) -> np.ndarray:
  """[k, k - 1]: columns orthogonal, of mean 0 and square sum k."""
  columns = [
      np.r_[np.ones(j), -j, np.zeros(size - j - 1)] / np.sqrt(j * (j + 1))
      for j in range(1, size)
  ]
  return np.sqrt(size) * np.array(columns).reshape(size - 1, size).T


def _at_least_one(name, value) -> None:
  if value < 1:
    raise ValueError(f"`{name}` must be at least 1; got {value}.")
