"""Linear SVMs on descriptors, a class against the rest, and the choice of their cost C (appendix B). No torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vggrepro.transfer.average_precision import Measure, TargetMatrix
from vggrepro.transfer.descriptors import DescriptorMatrix

MAX_ITERATIONS = 10_000
"""Passes over the data after which LIBLINEAR gives up."""


@dataclass(frozen=True)
class LinearClassifiers:
    """One linear classifier per class."""

    weights: DescriptorMatrix
    """[classes, D]."""
    biases: NDArray[np.floating]
    """[classes]."""

    def scores(self, descriptors: DescriptorMatrix) -> NDArray[np.float32]:
        """[N, classes]."""
        return np.asarray(descriptors @ self.weights.T + self.biases, np.float32)


def fit_svms(
    descriptors: DescriptorMatrix, targets: TargetMatrix, *, C: float, classes: Sequence[str], workers: int
) -> LinearClassifiers:
    """PAPER B: a linear SVM per class against the rest, on descriptors [n, D] and targets [n, classes]; 0 does not count.

    Raises ValueError for a class without an example, or without a counterexample.
    """
    from joblib import Parallel, delayed

    _check_both_signs(targets, classes)
    # where each image has one class, one call does all of them: LIBLINEAR takes its own copy of the data at every call
    one_call = targets.shape[1] > 2 and (targets != 0).all() and ((targets > 0).sum(1) == 1).all()
    columns = [targets.argmax(1)] if one_call else list(targets.T)
    # processes, not threads: LIBLINEAR has one random generator a process, and threads would draw from it in any order
    fits = Parallel(n_jobs=min(workers, len(columns)))(
        delayed(_fit_one)(descriptors, C, column, one_call) for column in columns
    )
    weights, biases = (np.concatenate(column) for column in zip(*fits, strict=True))
    return LinearClassifiers(weights, biases)


def _check_both_signs(targets: TargetMatrix, classes: Sequence[str]) -> None:
    for c, name in enumerate(classes):
        for sign, problem in ((1, "no image"), (-1, "nothing but images")):
            if not (targets[:, c] == sign).any():
                raise ValueError(
                    f"among {len(targets)} training images there is {problem} of class {name}: an SVM needs both"
                )


def _fit_one(
    descriptors: DescriptorMatrix, C: float, target: NDArray[np.integer], multiclass: bool
) -> tuple[DescriptorMatrix, NDArray[np.floating]]:
    """Weights [classes, D] and biases [classes] of one call of LIBLINEAR; one class unless `multiclass`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    counts = np.ones(len(target), bool) if multiclass else target != 0
    kept = (descriptors, target) if counts.all() else (descriptors[counts], target[counts])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm = LinearSVC(C=C, dual="auto", random_state=0, max_iter=MAX_ITERATIONS).fit(*kept)
    if np.max(svm.n_iter_) >= MAX_ITERATIONS:
        raise ValueError(f"LIBLINEAR did not converge with C = {C:g}: leave so large a value out of transfer.C")
    return svm.coef_, np.atleast_1d(svm.intercept_)


def choose_cost(
    descriptors: DescriptorMatrix,
    targets: TargetMatrix,
    *,
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
    classes: Sequence[str],
    measure: Measure,
    costs: Sequence[float],
    workers: int,
) -> float:
    """The cost C with the best mean measure on held-out training images; of equally good ones the smallest.

    `train` and `held_out` are numbers of images. Raises ValueError for a class that has no held-out image.
    """
    if len(costs) == 1:
        return costs[0]
    check_examples(targets[held_out], classes, "held-out training images")

    def quality(C: float) -> float:
        model = fit_svms(descriptors[train], targets[train], C=C, classes=classes, workers=workers)
        return float(measure(model.scores(descriptors[held_out]), targets[held_out]).mean())

    return max(sorted(costs), key=quality)


def check_examples(targets: TargetMatrix, classes: Sequence[str], images: str) -> None:
    """A ValueError for a class without an example in targets [n, classes], because it cannot be measured.

    `images` says which images they are, in the plural.
    """
    has_example: list[bool] = np.any(targets > 0, axis=0).tolist()
    if missing := [name for name, present in zip(classes, has_example, strict=True) if not present]:
        raise ValueError(
            f"none of the {len(targets)} {images} shows {', '.join(missing)}: more images of it are needed"
        )
