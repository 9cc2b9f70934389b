"""SVMs against LIBLINEAR called by hand, and the choice of their cost."""

from __future__ import annotations

import numpy as np
import pytest

from vggrepro.transfer import svms
from vggrepro.transfer.average_precision import class_recalls, measure_of
from vggrepro.transfer.svms import choose_cost, fit_svms


def separable(n: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    x = np.eye(classes)[labels] + rng.normal(0, 0.2, (n, classes))
    return x.astype(np.float32), np.where(np.arange(classes) == labels[:, None], 1, -1).astype(np.int8)


def test_an_svm_is_liblinears_whatever_the_number_of_processes():
    """More dimensions than images: LIBLINEAR then draws at random, from one generator a process."""
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (120, 400)).astype(np.float32)
    targets = np.where(rng.random((120, 4)) < 0.3, 1, -1).astype(np.int8)
    targets[::7, 1] = 0
    names = ("a", "b", "c", "d")
    model = fit_svms(x, targets, C=0.01, classes=names, workers=1)
    for c in range(4):
        kept = targets[:, c] != 0
        by_hand = LinearSVC(C=0.01, random_state=0, max_iter=10_000).fit(x[kept], targets[kept, c])
        assert model.scores(x)[:, c] == pytest.approx(by_hand.decision_function(x), abs=1e-6)
    assert np.array_equal(model.weights, fit_svms(x, targets, C=0.01, classes=names, workers=2).weights)


def test_classes_that_exclude_each_other_are_trained_in_one_call():
    """The classifiers are the same up to LIBLINEAR's random order."""
    x, targets = separable(90)
    together = fit_svms(x, targets, C=1.0, classes=("a", "b", "c"), workers=1)
    targets[0, 0] = 0  # one that does not count: a call per class
    apart = fit_svms(x, targets, C=1.0, classes=("a", "b", "c"), workers=1)
    assert together.weights.shape == apart.weights.shape == (3, 3)
    assert together.scores(x)[:, 1:] == pytest.approx(apart.scores(x)[:, 1:], abs=1e-2)


def test_a_cost_at_which_liblinear_does_not_converge_is_refused(monkeypatch):
    x, targets = separable()
    monkeypatch.setattr(svms, "MAX_ITERATIONS", 1)
    with pytest.raises(ValueError, match="LIBLINEAR did not converge with C = 1000"):
        fit_svms(x, targets, C=1000.0, classes=("a", "b", "c"), workers=1)


def test_a_class_without_examples_or_counterexamples_is_named():
    x, targets = separable()
    with pytest.raises(ValueError, match="no image of class b: an SVM needs both"):
        fit_svms(
            x, np.where([False, True, False], -1, targets).astype(np.int8), C=1.0, classes=("a", "b", "c"), workers=1
        )
    with pytest.raises(ValueError, match="nothing but images of class c"):
        fit_svms(
            x, np.where([False, False, True], 1, targets).astype(np.int8), C=1.0, classes=("a", "b", "c"), workers=1
        )


def test_the_cost_is_the_best_on_held_out_images_and_of_equals_the_smallest():
    """A third of the training labels are wrong: the largest C believes them all, the smallest learns little.

    So many images that the best is ten images better than both: rounding moves one or two.
    """
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 600)
    x = np.concatenate([2 * np.eye(3)[labels], rng.normal(0, 1.5, (600, 200))], 1).astype(np.float32)
    targets = np.where(np.arange(3) == labels[:, None], 1, -1).astype(np.int8)
    train, held = np.arange(300), np.arange(300, 600)
    targets[:100] = np.roll(targets[:100], 1, axis=1)
    quality, costs = {}, (1e-5, 1e-3, 0.03, 100.0)
    for C in costs:
        model = fit_svms(x[train], targets[train], C=C, classes=("a", "b", "c"), workers=1)
        quality[C] = class_recalls(model.scores(x[held]), targets[held]).mean()
    best = [C for C in quality if quality[C] == max(quality.values())]
    assert max(quality[costs[0]], quality[costs[-1]]) < quality[best[0]] - 0.02
    images = {"train": train, "held_out": held}
    options = {"classes": ("a", "b", "c"), "measure": measure_of("recall"), "costs": costs[::-1], "workers": 1}
    assert choose_cost(x, targets, **images, **options) == min(best)


def test_a_class_that_no_held_out_image_shows_is_named():
    x, targets = separable()
    held = np.flatnonzero(targets[:, 2] < 0)
    with pytest.raises(ValueError, match="held-out training images shows c: more images"):
        choose_cost(
            x,
            targets,
            train=np.arange(60),
            held_out=held,
            classes=("a", "b", "c"),
            measure=measure_of("area"),
            costs=(1.0, 2.0),
            workers=1,
        )
