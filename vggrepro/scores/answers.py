"""What systems answer, how sure they are, and how far they agree: classes of confusion, calibration, agreement. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.measures import BINS, bin_numbers
from vggrepro.scores.stores import Mixture, Name, Scores, same_images, summed_posteriors

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class SystemAnswers:
    """The answers of a system to every image."""

    labels: NDArray[np.int64]
    """[N]: the class of the largest posterior; of equal ones the lower number, as ranks count it."""
    confidence: NDArray[np.float64]
    """[N]: that posterior, 0 to 1."""


@dataclass(frozen=True)
class ConfidenceBin:
    """The images whose confidence lies in one bin."""

    low: float
    high: float
    images: int
    confidence: float
    """Their mean confidence."""
    right: float
    """The share that is right."""


def mixture_answers(stores: Mapping[str, Scores], mixtures: Mapping[Name, Mixture]) -> dict[Name, SystemAnswers]:
    """The answers under each weighted average of stores; every store is read once.

    Raises ValueError where stores do not hold the same images in the same order.
    """
    n = len(same_images(stores)) if mixtures else 0
    answers = {name: SystemAnswers(np.empty(n, np.int64), np.empty(n)) for name in mixtures}
    for part, name, total, weight in summed_posteriors(stores, mixtures) if mixtures else ():
        best = total.argmax(1)
        answers[name].labels[part] = best
        answers[name].confidence[part] = np.take_along_axis(total, best[:, None], 1)[:, 0].astype(np.float64) / weight
    return answers


def confidence_bins(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> tuple[ConfidenceBin, ...]:
    """The images in `BINS` bins of confidence, those without images left out; a bin holds its upper end."""
    number = bin_numbers(confidence)
    return tuple(
        ConfidenceBin(
            k / BINS, (k + 1) / BINS, int(here.sum()), float(confidence[here].mean()), float(right[here].mean())
        )
        for k in range(BINS)
        if (here := number == k).any()
    )


def binned_calibration_error(bins: tuple[ConfidenceBin, ...]) -> float:
    """The expected calibration error, 0 to 1: how far confidence and share of right answers are apart, over images."""
    images = sum(each.images for each in bins)
    return sum(each.images * abs(each.right - each.confidence) for each in bins) / images


def agreement(answers: Mapping[str, NDArray[np.int64]]) -> Counts:
    """[systems, systems]: on how many images two systems give the same answer, right or wrong."""
    labels = list(answers.values())
    return np.array([[int((a == b).sum()) for b in labels] for a in labels], np.int64)


def class_errors(wrong: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> tuple[Counts, Counts]:
    """How many images of each class are wrong, and how many it has, [classes] each."""
    return np.bincount(labels[wrong], minlength=classes), np.bincount(labels, minlength=classes)
