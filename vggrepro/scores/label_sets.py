"""Label sets: several true classes of an image, or none, from a source other than the data set (ReaL). No torch.

A prediction is right if it is among the labels of its image; of top-5, if one of the five is. An image without a label does
not count. With one label for every image both are the usual errors.

A store is a folder: `labels.npy` (int64 [N, L], ascending, -1 where there are fewer), `ids.txt`, `made.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.records import typed_record

AGAIN = "read the labels again"


@dataclass(frozen=True)
class LabelSets:
    """A store of label sets, read."""

    folder: Path
    labels: NDArray[np.int64]
    """[N, L]: places among the sorted WNIDs, ascending; -1 where an image has fewer."""
    ids: tuple[str, ...]
    metadata: dict[str, Any]
    """`made.json`: name, file and its digest, data set, classes."""

    def of(self, ids: Sequence[str]) -> NDArray[np.int64] | None:
        """The labels of some images, [len(ids), L]; None where no image has any here, because they are of another data set.

        Raises ValueError where some are here and others are not.
        """
        place = {name: row for row, name in enumerate(self.ids)}
        if missing := [name for name in ids if name not in place]:
            if len(missing) == len(ids):
                return None
            raise ValueError(
                f"{self.folder}: has no labels of {missing[0]} (and {len(missing) - 1} more images of {len(ids)}): {AGAIN}"
            )
        return self.labels[[place[name] for name in ids]]


def write_label_sets(sets: LabelSets) -> None:
    """Write a store of label sets atomically."""
    with atomic_folder(sets.folder, "made.json") as root:
        np.save(root / "labels.npy", sets.labels)
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in sets.ids), encoding="utf-8")
        write_json(root / "made.json", sets.metadata)


def read_label_sets(folder: Path) -> LabelSets:
    """The store in a folder; a ValueError that names the file where it is missing or damaged."""
    metadata = typed_record(folder / "made.json", ("name", "file", "digest"), again=AGAIN)
    ids = read_ids(folder / "ids.txt", AGAIN)
    return LabelSets(folder, read_array(folder / "labels.npy", np.int64, (len(ids), None), AGAIN), ids, metadata)


def label_array(sets: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Label sets as an array [N, L] in the form of a store; L is at least one."""
    longest = max(1, *(len(labels) for labels in sets)) if sets else 1
    array = np.full((len(sets), longest), -1, np.int64)
    for row, labels in enumerate(sets):
        array[row, : len(set(labels))] = sorted(set(labels))
    return array
