"""What settings of methods mean, for the docstrings of the factories."""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

MEANINGS = {
    "amplitude":
        "weight of the amplitudes of the characteristic functions, in [0, 1]; "
        "the phases have weight 1 - amplitude.",
    "average":
        "decay of an exponential moving average of the set, in [0, 1); the "
        "average is returned in place of the last iterate. 0 for none.",
    "batch_size":
        "number of real samples per outer step; per class for methods that "
        "match class by class.",
    "batches_between":
        "number of batches of real data that the network is trained on between "
        "two matches.",
    "between":
        "where the weights of the matching network come from: snapshot (one "
        "snapshot of an expert) or mix (a mix of an expert's first and last "
        "weights).",
    "beta1":
        "momentum of sgd, or decay of the first moment of other optimizers; in "
        "[0, 1).",
    "beta2": "decay of the second moment of the optimizer; in [0, 1).",
    "calibration":
        "weight of the cross-entropy of distilled samples under trained "
        "networks; 0 for none.",
    "candidates":
        "number of real samples drawn per class, from which the best are kept; "
        "at least the number that the set needs per class. If a class has "
        "fewer, all are taken.",
    "clamp": "whether pixels are kept between black and white.",
    "clip_average":
        "gradients are clipped to this many times the running average of their "
        "norm; 0 for no clipping.",
    "clip_each":
        "the gradients of samples, labels and step sizes are each clipped to "
        "this norm; 0 for none.",
    "clip_norm": "gradients are clipped to this global norm; 0 for none.",
    "covariances":
        "weight of the distance between covariances of embeddings; 0 matches "
        "means only.",
    "discrimination":
        "weight of the loss that classifies real samples by the distilled "
        "ones.",
    "distance":
        "distance between gradients: by_output, cosine, squared, absolute, "
        "kernels_squared or kernels_absolute; None for the one that suits the "
        "network.",
    "epochs": "number of times that students go through the set's steps.",
    "epochs_between":
        "number of epochs that the network is trained on the set between two "
        "matches.",
    "experts":
        "how the expert networks are trained: num, num_epochs, step_size, "
        "momentum, weight_decay, batch_size, strategy, radius and "
        "surrogate_gap (for flat minima), dtype, seed, at_once (number trained "
        "in parallel).",
    "extra_learning_rate":
        "learning rate of the method's other learned scalars.",
    "fixed":
        "whether the set is learned for one fixed initialisation of the "
        "student, which is stored in the set.",
    "frequency_scale": "standard deviation of the random frequencies.",
    "k": "number of nearest neighbours that vote.",
    "keep_teacher":
        "whether the set stores the teacher, so that more samples can be "
        "labelled by it later.",
    "kind": "hard_labelled_points, or another closed form named above.",
    "l2_rate": "weight decay of the inner problem.",
    "label_beta1": "as beta1, for the labels.",
    "label_learning_rate": "learning rate of the labels.",
    "label_space": "what the labels are: raw, logits or probabilities.",
    "last_rate":
        "final learning rate of the cosine schedule, as a share of the first.",
    "least_area": "least area of a crop, as a share of its image; in (0, 1].",
    "learn_labels": "whether the labels are learned too.",
    "learning_rate": "learning rate of the samples, in units of model space.",
    "loss": "loss of the predictions: platt or squared.",
    "margin":
        "weight of the loss that keeps the own class of each label ahead of "
        "the other classes; 0 for none.",
    "max_epochs":
        "maximal number of epochs that the network is trained between two "
        "outer steps.",
    "mirrored": "whether an image and its mirror image are of the same class.",
    "mix": "share of batches that CutMix mixes; in [0, 1].",
    "momentum": "momentum of the inner steps; in [0, 1).",
    "moved":
        "between two outer steps, the network is trained until its watched "
        "accuracy has changed by more than this.",
    "network":
        "the network that is used while distilling, {\"name\": ..., settings}; "
        "None for the student's architecture.",
    "network_pool":
        "the pool of networks in training that outer steps draw from: size, "
        "max_age (steps until a member is replaced), step_size, least_steps "
        "and most_steps between two draws.",
    "network_step_size":
        "step size of the networks that are trained on the set.",
    "num_crops":
        "number of random crops tried per candidate, of which the best one is "
        "used; 0 for whole images.",
    "num_frequencies":
        "number of random frequencies of the characteristic functions.",
    "num_initialisations": "number of fresh networks per outer step.",
    "num_steps": "number of outer steps.",
    "of": "the method that is split into segments, {\"name\": ..., settings}.",
    "optimizer": "outer optimizer: adam, adabelief, lamb or sgd.",
    "parameterization":
        "how samples are stored, {\"name\": ..., settings}: pixels, "
        "multi_formation, linear_bases, hallucinator, frequency, field, "
        "quantised.",
    "parts":
        "the methods whose objectives are summed, {\"name\": ..., settings} "
        "each.",
    "pool":
        "the networks that are trained before the first step: num_networks, "
        "num_epochs, step_size.",
    "recipe":
        "how students are trained on the set, {\"name\": ..., settings}; None "
        "for the method's own recipe.",
    "regression":
        "whether students regress on centred labels instead of classifying.",
    "restart_after":
        "number of steps of the first cosine; then the learning rate restarts "
        "at half its value, and the set with the lowest loss is returned. 0 "
        "for a single cosine.",
    "restart_every": "number of steps of each later cosine.",
    "ridge":
        "ridge of the regression, in units of the mean of the kernel's "
        "diagonal; positive.",
    "rollbacks":
        "maximal number of times that a run goes back to the start of a chunk "
        "of steps, after a spike or a non-finite loss, and draws other "
        "batches.",
    "sample_length":
        "number of words of a distilled sentence; 0 for the length of the real "
        "ones.",
    "schedule": "schedule of the learning rates: cosine, halving or constant.",
    "segment":
        "which parts of the experts' trajectories are matched: span (epochs), "
        "the range of start epochs (lowest, and an upper bound that goes from "
        "first to highest), how the bound grows (growth), and the outer step "
        "until which it grows (until).",
    "segments":
        "the parts of the set that are learned one after the other: num, "
        "at_least, drop_correct, anchor_weight, recipe.",
    "settled":
        "the network is replaced once its watched accuracy changes by less "
        "than this.",
    "skip_above":
        "outer steps whose loss is higher than this change nothing; 0 for "
        "never.",
    "snap":
        "number of rounds in which vectors are replaced by those of the "
        "nearest words; 0 for none.",
    "snap_steps": "number of outer steps in each round of snap.",
    "solver": "solver of the inner problem, {\"name\": ..., settings}.",
    "spike":
        "if the loss exceeds this, the run goes back to the start of the chunk "
        "of steps and draws other batches; 0 for never.",
    "span":
        "number of consecutive snapshots from which the classifying network is "
        "drawn, beginning with the matching network's.",
    "stage": "index of the teacher's features that are compared, from 0.",
    "start":
        "where the samples start: real, noise, class_mean, kmeans, herding; "
        "correct (samples that experts classify right); or the path of a saved "
        "set.",
    "start_labels": "where labels start: one_hot, centred, shared or noise.",
    "statistics": "weight of the distance between batch-norm statistics.",
    "step_size":
        "initial value of learned step sizes; for methods that do not learn "
        "them, the student's step size.",
    "step_size_floor": "lower bound of learned step sizes.",
    "step_size_learning_rate":
        "learning rate of the step sizes; 0 keeps them fixed.",
    "steps": "S, the number of mini-batches of the set.",
    "steps_per_network":
        "number of matches on one network before a fresh one replaces it.",
    "strategy":
        "augmentation of real and distilled images, names joined by _; \"\" "
        "for none, None for the usual one of the data.",
    "student":
        "the student's training that is matched or unrolled: num_steps and its "
        "other settings.",
    "teacher":
        "the network that chooses and labels samples: network (None for the "
        "student's architecture), num_epochs, batch_size, learning_rate, "
        "strategy; or file, a saved set that stores its teacher.",
    "temperature": "temperature of the neighbours' votes; positive.",
    "unit_norm": "whether gradients are scaled to norm 1.",
    "watched": "number of real samples per class whose accuracy is watched.",
    "weight_decay": "weight decay of the samples.",
    "weights": "weights of the parts, one for each."
}


def docstring(
    make: Callable, name: str, paper: str, cost: str,
    defaults: Mapping[str, Any]) -> str:
  """The docstring of a factory: what it does, settings, example, paper.

  Args:
    make: the function of the settings. Its docstring says what the method does;
      its section `Args`, if there is one, what its own settings mean.
    name: of the method.
    paper: authors, title, year and arXiv id.
    cost: of an outer step, in words.
    defaults: every setting.
  """
  text, own = _parts(inspect.cleandoc(make.__doc__ or f"The method {name}."))
  meanings = MEANINGS | own
  lines = [text.strip(), "", "Args:"]
  for setting, value in defaults.items():
    lines += textwrap.wrap(
        " ".join(
            filter(
                None,
                (f"{setting}:", meanings.get(setting),
                 f"Default: {value!r}."))),
        78,
        initial_indent="  ",
        subsequent_indent="    ")
  lines += [
      "", "Example:", *_example(make, name), "",
      *textwrap.wrap(f"Cost of an outer step: {cost}.", 78), "", "Reference:",
      *textwrap.wrap(
          f"{paper}.", 78, initial_indent="  ", subsequent_indent="  ")
  ]
  return "\n".join(lines)


def _parts(text: str) -> tuple[str, dict[str, str]]:
  """A docstring without its section `Args`, and what settings mean by it."""
  before, _, after = text.partition("\nArgs:\n")
  section, *rest = re.split(r"^(?=\S)", after, maxsplit=1, flags=re.MULTILINE)
  entries = re.split(r"^ {1,4}(\w+): ", section, flags=re.MULTILINE)[1:]
  meanings = {
      setting: " ".join(meaning.split())
      for setting, meaning in zip(entries[::2], entries[1::2], strict=True)
  }
  return "\n".join([before, *rest]), meanings


def _example(make: Callable, name: str) -> list[str]:
  """How the factory is called, from where it is declared."""
  factory, lines = make.__name__, []
  if make.__module__.startswith(f"{__package__}."):
    factory = f"dd.methods.{name}"
  elif make.__module__ != "__main__" and "." not in make.__qualname__:
    lines = [f"  from {make.__module__} import {factory}", ""]
  return [*lines, f"  made = dd.condense(source, {factory}(), per_class=1)"]
