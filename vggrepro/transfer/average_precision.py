"""What came of SVMs on features (appendix B): their results read back, and measured by precision or recall. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array
from vggrepro.core.files import read_json
from vggrepro.scores.ranks import average_precision

ScoreMatrix = NDArray[np.floating]

AGAIN = "classify again"
"""What to do about damaged results."""


def precisions(scores: ScoreMatrix, targets: NDArray[np.int8], kind: str) -> ScoreMatrix:
    """Average precision of every class, [classes]; images with target 0 ("difficult") are left out."""
    return np.array(
        [average_precision(s[t != 0], t[t != 0] > 0, kind) for s, t in zip(scores.T, targets.T, strict=True)]
    )


def recalls(scores: ScoreMatrix, targets: NDArray[np.int8]) -> ScoreMatrix:
    """PAPER B: of each class the share of its images [classes] that are given that class."""
    truth, answers = targets.argmax(1), scores.argmax(1)
    right = np.bincount(truth[truth == answers], minlength=targets.shape[1])
    return right / np.bincount(truth, minlength=targets.shape[1])


def measure_of(kind: str) -> Any:  # noqa: ANN401
    """The function of scores and targets that a task is measured by: `11-point`, `area` or `recall`."""
    return recalls if kind == "recall" else partial(precisions, kind=kind)


@dataclass(frozen=True)
class SVMResult:
    """What came of a task with some nets, as it is read back."""

    folder: Path
    metadata: dict[str, Any]
    scores: tuple[NDArray[np.float32], ...]
    """For every split [n, classes]."""
    targets: tuple[NDArray[np.int8], ...]
    groups: tuple[NDArray[np.int64], ...]
    """[n]: pictures of one file have the same number."""

    @property
    def counted(self) -> NDArray[np.bool_]:
        """[classes]: whether a class has part in the mean."""
        return np.isin(self.metadata["classes"], self.metadata["counted"])

    def values(self, split: int, chosen: NDArray[np.int64] | slice = slice(None)) -> ScoreMatrix:
        """The precision or recall of every class that counts, of some test images of a split."""
        of = measure_of(self.metadata["measure"])
        found: ScoreMatrix = of(self.scores[split][chosen], self.targets[split][chosen])
        return found[self.counted]


def read_svm_result(folder: Path) -> SVMResult:
    """Open the result of a task; a ValueError that names the folder where it is missing or damaged."""
    made = read_json(folder / "made.json", ("task", "nets", "classes", "counted", "measure", "part", "C"))
    parts, classes = [folder / str(k) for k in range(len(made["C"]))], len(made["classes"])
    scores = tuple(read_array(part / "scores.npy", np.float32, (None, classes), AGAIN) for part in parts)
    targets, groups = [], []
    for part, values in zip(parts, scores, strict=True):
        targets.append(read_array(part / "targets.npy", np.int8, values.shape, AGAIN))
        groups.append(read_array(part / "groups.npy", np.int64, values.shape[:1], AGAIN))
    return SVMResult(folder, made, scores, tuple(targets), tuple(groups))
