"""From stored features to the descriptors that SVMs are trained on (appendix B). No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array
from vggrepro.core.records import typed_record
from vggrepro.data.collections import Collection
from vggrepro.paper.runs import Run
from vggrepro.paper.tasks import Task

DescriptorMatrix = NDArray[np.floating]
"""[N, D]: a descriptor per image."""

COMBINATIONS: dict[str, Callable[[Sequence[DescriptorMatrix]], DescriptorMatrix]] = {
    "average": lambda rows: np.mean(rows, 0),
    "maximum": lambda rows: np.max(rows, 0),
    "stack": lambda rows: np.concatenate(rows, 1),
}
"""By name: how features [N, fc] of several Q become one descriptor per image."""


def unit_length(values: DescriptorMatrix) -> DescriptorMatrix:
    """Rows [N, D] scaled to unit length; a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    scaled: DescriptorMatrix = values / np.maximum(length, np.finfo(np.float32).tiny)
    return scaled


def combined_scales(features: Sequence[DescriptorMatrix], *, combine: str, normalise: str) -> DescriptorMatrix:
    """PAPER B: features [N, fc] at several Q as one descriptor of unit length per image.

    `combine` is `average`, `stack` or `maximum` (of each feature over the Q). `normalise` is `before`, where features of each
    Q are scaled to unit length first, or `after`.
    """
    rows = [unit_length(values) for values in features] if normalise == "before" else list(features)
    return unit_length(COMBINATIONS[combine](rows))


def task_descriptors(
    folders: Sequence[Path], *, task: Task, collections: Mapping[str, Collection], normalise: str
) -> tuple[DescriptorMatrix, list[str]]:
    """The descriptors [N, D] of a task, float32 and of unit length, and the names of its nets.

    Descriptors of all nets are stacked, and of image and box where the task has both. `folders` hold features: of the first
    collection for every net, then of the second. Raises ValueError where they are of other images than the collections, or
    not of the same nets.
    """
    per_collection = len(folders) // len(task.collections)
    parts, nets = [], []
    for k, folder in enumerate(folders):
        name = task.collections[min(k // max(per_collection, 1), len(task.collections) - 1)]
        features, net = read_features(folder, name, collections[name].digest, task.scales)
        combined = combined_scales(features, combine=task.combine, normalise=normalise)
        parts.append(combined.astype(np.float32, copy=False))
        nets.append(net)
    if nets != nets[:per_collection] * len(task.collections):
        raise ValueError(
            f"--features: expected the same nets for {' and '.join(task.collections)}, got {', '.join(nets)}"
        )
    stacked = np.concatenate(parts, 1)
    stacked /= np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), np.finfo(np.float32).tiny)  # in place: large
    return stacked, nets[:per_collection]


def read_features(
    folder: Path, collection: str, digest: str, scales: Sequence[int]
) -> tuple[list[NDArray[np.float32]], str]:
    """The features [N, fc] of a collection at every scale, and the name of the run.

    Raises ValueError for other images, and for those of another run than the folder above is named after.
    """
    again = "compute the features again"
    metadata = typed_record(folder / "made.json", ("run", "name", "data"), again=again)
    if (metadata["name"], metadata["data"]) != (collection, digest):
        raise ValueError(
            f"{folder}: features of other images than {collection}: delete the folder and compute them again"
        )
    named = folder.parent.name
    if _is_run(named) and metadata["run"] != named:
        raise ValueError(
            f"{folder}: features of {metadata['run']}, expected those of {named}: delete the folder and compute them again"
        )
    return [read_array(folder / f"{Q}.npy", np.float32, (None, None), again) for Q in scales], metadata["run"]


def _is_run(name: str) -> bool:
    try:
        Run.parse(name)
    except ValueError:
        return False
    return True
