"""Answers, calibration and agreement equal what loops over images and classes give."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from vggrepro.paper import measures
from vggrepro.paper.measures import BINS, RankedImages
from vggrepro.scores import stores
from vggrepro.scores.answers import (
    agreement,
    binned_calibration_error,
    class_errors,
    confidence_bins,
    mixture_answers,
)
from vggrepro.scores.stores import read_scores, write_scores

IMAGES, CLASSES = 37, 5
MIXTURES = {
    "one": {"a": Fraction(1)},
    "even": {"a": Fraction(1, 2), "b": Fraction(1, 2)},
    "uneven": {"a": Fraction(1, 6), "b": Fraction(1, 3), "c": Fraction(1, 2)},
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("answers"), np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, IMAGES)
    for name in "abc":
        # in eighths, so that ties are many
        counts = rng.multinomial(8, np.ones(CLASSES) / CLASSES, IMAGES)
        write_scores(folder / name, (counts / 8).astype(np.float32), labels, [str(i) for i in range(IMAGES)], {})
    return {name: read_scores(folder / name) for name in "abc"}


@pytest.mark.parametrize("mixture", list(MIXTURES))
def test_the_answer_is_the_first_class_of_the_largest_average(opened, mixture, monkeypatch):
    monkeypatch.setattr(stores, "IMAGES_PER_CHUNK", 10)
    answers = mixture_answers(opened, MIXTURES)[mixture]
    for i in range(IMAGES):
        exact = [
            sum(weight * Fraction(float(opened[name].posteriors[i, c])) for name, weight in MIXTURES[mixture].items())
            for c in range(CLASSES)
        ]
        assert answers.labels[i] == exact.index(max(exact))
        assert answers.confidence[i] == pytest.approx(float(max(exact)), abs=1e-12)


def test_calibration_is_the_average_gap_of_bins():
    rng = np.random.default_rng(1)
    confidence, right = rng.random(500), rng.random(500) < 0.6
    confidence[:3] = 0.0, 1.0, 1 / BINS  # ends of bins
    total, counted = 0.0, 0
    for k in range(BINS):
        inside = [
            i for i in range(500) if k / BINS < confidence[i] <= (k + 1) / BINS or (k == 0 and confidence[i] == 0)
        ]
        if inside:
            gap = sum(bool(right[i]) for i in inside) / len(inside) - sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) * abs(gap) / 500
            counted += len(inside)
    bins = confidence_bins(right, confidence)
    assert counted == sum(each.images for each in bins) == 500
    assert binned_calibration_error(bins) == pytest.approx(total)
    as_ranks = RankedImages(np.where(right, 0, 1).astype(np.int32), confidence, np.zeros(500, np.int64))
    assert measures.calibration_error(as_ranks) == pytest.approx(total)


def test_agreement_and_errors_of_classes_are_counts_of_images():
    rng = np.random.default_rng(2)
    labels, (a, b) = rng.integers(0, 6, 90), rng.integers(0, 7, (2, 90))
    assert agreement({"a": a, "b": b}).tolist() == [[90, sum(a == b)], [sum(a == b), 90]]
    wrong, images = class_errors(a != labels, labels, 7)
    for c in range(7):
        of_class = [i for i in range(90) if labels[i] == c]
        assert (wrong[c], images[c]) == (sum(a[i] != c for i in of_class), len(of_class))
