"""The result of a task, a folder: scores and targets of the test images of every split, and `made.json`. No torch.

<k>/scores.npy   float32 [n, classes], of split k
<k>/targets.npy  int8 [n, classes]: 1, -1, or 0 for what does not count
<k>/groups.npy   [n]: pictures of one file, such as two persons in an image, have the same number
<k>/ids.txt      of the images or persons

Average precision and recall are computed from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array
from vggrepro.core.records import typed_record
from vggrepro.data.collections import Collection
from vggrepro.transfer.average_precision import ScoreMatrix, TargetMatrix, measure_of

CLASSIFY_AGAIN = "classify again"
"""What to do about damaged results."""


@dataclass(frozen=True)
class SVMResult:
    """The result of a task with some nets, open for reading. See the module's text for the arrays."""

    folder: Path
    metadata: dict[str, Any]
    """`made.json`."""
    scores: tuple[NDArray[np.float32], ...]
    """Of every split [n, classes]."""
    targets: tuple[TargetMatrix, ...]
    groups: tuple[NDArray[np.int64], ...]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """[classes]: whether a class counts in the mean."""
        return np.isin(self.metadata["classes"], self.metadata["counted"])

    def values(self, split: int, chosen: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.floating]:
        """The precision or recall of every class that counts, over the `chosen` test images of a split."""
        measure = measure_of(self.metadata["measure"])
        return measure(self.scores[split][chosen], self.targets[split][chosen])[self.counted]


def write_split_scores(
    folder: Path, scores: ScoreMatrix, targets: TargetMatrix, *, collection: Collection, images: NDArray[np.int64]
) -> None:
    """Write scores and targets [n, classes] of one split's test images, whose numbers in the collection are `images` [n]."""
    folder.mkdir()
    np.save(folder / "groups.npy", collection.groups[images])
    np.save(folder / "scores.npy", scores)
    np.save(folder / "targets.npy", targets)
    (folder / "ids.txt").write_text("".join(f"{collection.ids[i]}\n" for i in images), encoding="utf-8")


def read_svm_result(folder: Path) -> SVMResult:
    """Open the result of a task; a ValueError that names the file where one is missing or damaged."""
    metadata = typed_record(
        folder / "made.json",
        ("task", "nets", "collection", "data", "classes", "counted", "measure", "part", "C", "C from"),
        again=CLASSIFY_AGAIN,
    )
    scores, targets, groups = [], [], []
    for k in range(len(metadata["C"])):
        split = folder / str(k)
        scores.append(read_array(split / "scores.npy", np.float32, (None, len(metadata["classes"])), CLASSIFY_AGAIN))
        targets.append(read_array(split / "targets.npy", np.int8, scores[-1].shape, CLASSIFY_AGAIN))
        groups.append(read_array(split / "groups.npy", np.int64, scores[-1].shape[:1], CLASSIFY_AGAIN))
    return SVMResult(folder, metadata, tuple(scores), tuple(targets), tuple(groups))
