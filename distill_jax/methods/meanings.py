"""What settings of methods mean, for the docstrings of the factories."""

import textwrap
from collections.abc import Mapping
from typing import Any

MEANINGS = {
    "amplitude":
        "weight of the amplitudes of characteristic functions, that of the "
        "phases is 1 less it; in [0, 1].",
    "average":
        "decay of a running average that is returned in place of the "
        "last iterate, in [0, 1); 0 for none.",
    "batch_size":
        "real samples of an outer step; of each class, where the "
        "method matches classes.",
    "batches_between":
        "batches of real data that the network is trained on "
        "between two matches.",
    "between":
        "which weights match: a snapshot of the experts, or a mix of their "
        "first and last ones.",
    "beta1": "momentum of sgd, first moment of the others; in [0, 1).",
    "beta2": "decay of second moments; in [0, 1).",
    "calibration":
        "weight of the cross-entropy of trained networks; 0 for "
        "none.",
    "candidates":
        "real samples drawn of each class, from which the best are kept; at "
        "least as many as the set has of it, at most all.",
    "clamp": "whether images are kept between black and white.",
    "clip_average":
        "gradients are clipped to this many times their running "
        "average norm; 0 for no clipping.",
    "clip_norm": "largest global norm of the gradient; 0 for no clipping.",
    "covariances":
        "weight of the distance between covariances of embeddings; "
        "0 for means alone.",
    "discrimination":
        "weight of the classification of real samples by "
        "distilled ones.",
    "distance":
        "between gradients: by_output, cosine, squared, absolute, "
        "kernels_squared or kernels_absolute; None for what suits the "
        "network.",
    "epochs": "how often students pass through the steps of the set.",
    "epochs_between":
        "epochs that the network trains on the set between two "
        "matches.",
    "experts":
        "how the networks that are imitated are trained: num, "
        "num_epochs, step_size, momentum, weight_decay, batch_size, "
        "strategy, radius and surrogate_gap (flat minima), dtype, seed, "
        "at_once.",
    "extra_learning_rate": "of the method's other learned scalars.",
    "fixed":
        "whether one known initialisation is learned for, and stored in "
        "the set.",
    "frequency_scale": "standard deviation of the random frequencies.",
    "k": "neighbours that vote.",
    "keep_teacher":
        "whether the set keeps the teacher, so that other samples can be "
        "labelled as it is.",
    "kind":
        "hard_labelled_points, or another closed form of "
        "`frozen_features`.",
    "l2_rate": "weight decay of the inner problem.",
    "label_beta1": "as beta1, for labels.",
    "label_learning_rate": "learning rate of labels.",
    "label_space": "what labels are: raw, logits or probabilities.",
    "last_rate": "share of the learning rate that cosine ends with.",
    "least_area": "of a crop, as a share of its image; in (0, 1].",
    "learn_labels": "whether labels are learned too.",
    "learning_rate": "of the samples, in model space.",
    "loss": "of the predictions: platt or squared.",
    "margin":
        "pull of each label on its own class ahead of the others; 0 for "
        "none.",
    "max_epochs":
        "most epochs that the network trains before it is fresh "
        "again.",
    "mirrored": "whether a mirrored image is of the same class.",
    "mix": "share of batches that CutMix mixes; in [0, 1].",
    "momentum": "of the inner steps; in [0, 1).",
    "moved":
        "the network learns until its watched accuracy has moved by more "
        "than this.",
    "network":
        "that the set is distilled with, {\"name\": ..., settings}; None "
        "for the student's kind.",
    "network_pool":
        "networks in training that are drawn from: size, max_age "
        "(steps until a fresh one), step_size, least_steps and "
        "most_steps between two draws.",
    "network_step_size": "of the networks that are trained on the set.",
    "num_crops":
        "random crops of each candidate, of which the best stands for it; 0 "
        "for whole images.",
    "num_frequencies": "random frequencies of the characteristic functions.",
    "num_initialisations": "fresh networks of an outer step.",
    "num_steps": "outer updates.",
    "of": "the method that is split, {\"name\": ..., settings}.",
    "optimizer": "of the set: adam, adabelief, lamb or sgd.",
    "parameterization":
        "how samples are stored, {\"name\": ..., settings}: "
        "pixels, multi_formation, linear_bases, hallucinator, frequency, "
        "field, quantised.",
    "parts":
        "methods whose objectives are summed, {\"name\": ..., settings} "
        "each.",
    "pool":
        "networks trained before the first step: num_networks, num_epochs, "
        "step_size.",
    "recipe":
        "how students train on the set, {\"name\": ..., settings}; None "
        "for the method's own.",
    "regression": "whether students regress on centred labels.",
    "restart_after":
        "steps of the first cosine, after which the rate restarts "
        "at half; the set of the lowest loss is returned. 0 for "
        "one cosine.",
    "restart_every": "steps of each further cosine.",
    "ridge": "of the regression, in mean diagonals of the kernel; positive.",
    "rollbacks": "how often a chunk of steps with a spike is drawn anew.",
    "sample_length":
        "words of a distilled sentence; 0 for those of the real "
        "ones.",
    "schedule": "of the learning rates: cosine, halving or constant.",
    "segment":
        "stretches of the experts' path: span (epochs), where they "
        "start (lowest, first, highest), how that grows (growth) and "
        "until which step (until).",
    "segments":
        "parts of the set that are learned one after the other: num, "
        "at_least, drop_correct, anchor_weight, recipe.",
    "settled":
        "the network is replaced once its watched accuracy stays within "
        "this.",
    "skip_above": "a step with a higher loss changes nothing; 0 for never.",
    "snap":
        "rounds in which vectors are replaced by those of words; 0 for "
        "none.",
    "snap_steps": "outer steps of each round.",
    "solver": "of the inner problem, {\"name\": ..., settings}.",
    "spike": "a chunk of steps with a higher loss is drawn anew; 0 for never.",
    "span":
        "snapshots among which the classifying network is drawn, from the one "
        "that matches on.",
    "stage": "which of the teacher's features is compared, from 0.",
    "start":
        "where samples start: real, noise, class_mean, kmeans, herding; "
        "correct (samples that experts classify right); or the file of a "
        "saved set.",
    "start_labels": "where labels start: one_hot, centred, shared or noise.",
    "statistics": "weight of the distance between batch statistics.",
    "step_size":
        "where learned step sizes start; of methods without, the "
        "student's.",
    "step_size_floor": "lower bound of the learned step size.",
    "step_size_learning_rate": "learning rate of step sizes; 0 keeps them.",
    "steps": "mini-batches of the set, S.",
    "steps_per_network": "matches of a network before a fresh one.",
    "strategy":
        "augmentation of real and distilled images, names joined by _; "
        "\"\" for none, None for what suits the data.",
    "student":
        "the training that is imitated or unrolled: num_steps and its "
        "other settings.",
    "teacher":
        "the network that chooses and labels: network (None for the "
        "student's), num_epochs, batch_size, learning_rate, strategy; or "
        "file, a set that keeps one.",
    "temperature": "of the neighbours' votes; positive.",
    "unit_norm": "whether gradients are scaled to norm 1.",
    "watched": "real samples of each class whose accuracy is watched.",
    "weight_decay": "of the samples.",
    "weights": "of the parts, one each."
}


def docstring(
    text: str, name: str, paper: str, cost: str, defaults: Mapping[str,
                                                                   Any]) -> str:
  """The docstring of a factory: what it does, settings, example, paper.

  Args:
    text: what the function of the settings says of itself.
    name: of the method.
    paper: authors, title, year and arXiv id.
    cost: of an outer step, in words.
    defaults: every setting.
  """
  lines = [text.strip(), "", "Args:"]
  for setting, value in defaults.items():
    lines += textwrap.wrap(
        f"{setting}: {MEANINGS.get(setting, '')} Default: {value!r}.",
        78,
        initial_indent="  ",
        subsequent_indent="    ")
  lines += [
      "", "Example:",
      f"  made = dd.condense(source, dd.methods.{name}(), per_class=1)", "",
      *textwrap.wrap(f"An outer step costs: {cost}.", 78), "", "Reference:",
      *textwrap.wrap(
          f"{paper}.", 78, initial_indent="  ", subsequent_indent="  ")
  ]
  return "\n".join(lines)
