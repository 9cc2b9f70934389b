"""Which images train and which are tested: Caltech's random splits, and held-out training images. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.checksums import write_checksums
from vggrepro.core.files import read_rows, write_text
from vggrepro.data.collections import Caltech
from vggrepro.settings.blocks import TransferSettings
from vggrepro.transfer.average_precision import TargetMatrix

SPLIT_PARTS = ("unused", "train", "test")
"""Names of the parts of a split, by number."""


def held_out_images(
    targets: TargetMatrix, *, train: NDArray[np.int64], groups: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:
    """Which of the training images `train` [n] are held out to choose C, [n].

    A share of every class, drawn with a fixed seed; at least one image, and never the class's last. Pictures of one file go
    together (`groups` [N]), so that two persons in an image are never on both sides.
    """
    files, file_of_image = np.unique(groups[train], return_inverse=True)
    positive = np.zeros((len(files), targets.shape[1]), bool)
    np.logical_or.at(positive, file_of_image, targets[train] > 0)
    rng, drawn, left = np.random.default_rng(0), np.zeros(len(files), bool), positive.sum(0)
    for c in np.argsort(positive.sum(0), kind="stable"):
        of_class = np.flatnonzero(positive[:, c])
        wanted = max(1, round(share * len(of_class))) - int(drawn[of_class].sum())
        for i in rng.permutation(of_class[~drawn[of_class]]):
            if wanted > 0 and (left[positive[i]] > 1).all():
                drawn[i], wanted, left = True, wanted - 1, left - positive[i]
    held_out: NDArray[np.bool_] = drawn[file_of_image]
    return held_out


def write_splits(collection: Caltech, settings: TransferSettings, out: Path) -> None:
    """Write the random splits of a Caltech set, `0.csv` and so on (image, part), so that anyone can repeat them."""
    if collection.title == "Caltech-101":
        train, test = settings.caltech101_train, settings.caltech101_test
    else:
        train, test = settings.caltech256_train, None
    for k, parts in enumerate(collection.splits(settings.splits, train, test)):
        lines = (f"{image},{SPLIT_PARTS[part]}\n" for image, part in zip(collection.ids, parts, strict=True))
        write_text(out / f"{k}.csv", "image,part\n" + "".join(lines))
    write_checksums(out)


def read_split(path: Path, collection: Caltech) -> NDArray[np.int8]:
    """[N]: 1 for training images, 2 for test images, 0 for the rest.

    Raises ValueError for a file of other images, and for a class without images to train or to test.
    """
    rows = [(row.get("image"), row.get("part")) for row in read_rows(path, "draw the splits again")]
    if [image for image, _ in rows] != collection.ids or not {part for _, part in rows} <= set(SPLIT_PARTS):
        raise ValueError(
            f"{path}: expected image,part for every image of {collection.title} in {collection.files.path}, in their order, "
            f"and each part one of {', '.join(SPLIT_PARTS)}"
        )
    parts = np.array([SPLIT_PARTS.index(str(part)) for _, part in rows], np.int8)
    for part in (1, 2):
        counts = np.bincount(collection.labels[parts == part], minlength=len(collection.classes))
        if not counts.all():
            raise ValueError(
                f"{path}: class {collection.classes[int(counts.argmin())]} has no {SPLIT_PARTS[part]} image"
            )
    return parts
