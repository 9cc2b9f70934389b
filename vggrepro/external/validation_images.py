"""The validation images that somebody else's scores are of: their ids, their true classes, their order. No torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.data import devkit
from vggrepro.data.layouts import image_stem
from vggrepro.data.numbered import NumberedFolders
from vggrepro.data.store import Store
from vggrepro.paper.ilsvrc import ILSVRC_VALIDATION_IMAGES

OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})")
"""The name of a validation image of ILSVRC, without ending."""


@dataclass(frozen=True)
class ImportedImages:
    """The validation images in the order of our stores, by class and file name, with their true classes."""

    ids: list[str]
    labels: NDArray[np.int64]
    """[N]: places among the sorted WNIDs."""
    wnids: list[str]
    numbered: dict[int, str] | None
    """Devkit id -> WNID; None without a devkit."""
    about: dict[str, object]
    """`data`, the digest of the images, and `data set`."""

    @classmethod
    def of_store(cls, store: Store, folder: Path | None) -> ImportedImages:
        """The images of a prepared store; the devkit in `folder` numbers classes."""
        about = {"data": store.digest, "data set": store.about["data set"]}
        numbered = devkit.read_wnids(folder) if folder else None
        return cls(store.ids, store.labels, list(store.about["wnids"]), numbered, about)

    @classmethod
    def of_devkit(cls, folder: Path, first: int | None = None) -> ImportedImages:
        """The `first` images that the devkit labels, or all, without their pixels: ids and order as in a store of ILSVRC."""
        numbered, labels = devkit.read_labels(folder)
        wnids = sorted(numbered.values())
        place = {wnid: i for i, wnid in enumerate(wnids)}
        places = np.array([place[numbered[label]] for label in labels[:first]])
        order = np.argsort(places, kind="stable")
        ids = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in order]
        return cls(ids, places[order], wnids, numbered, {"data": None, "data set": "ILSVRC-2012"})

    @classmethod
    def of_folders(cls, path: Path, classes: ImportedImages) -> ImportedImages:
        """Other images of the same `classes`, in folders called by their numbers; they are listed, and not opened."""
        layout = NumberedFolders(path, classes.wnids)
        items = layout.items("val")
        labels = np.array([item.label for item in items])
        about: dict[str, object] = {"data": None, "data set": layout.title}
        return cls([item.id for item in items], labels, classes.wnids, classes.numbered, about)

    def official_numbers(self) -> NDArray[np.int64] | None:
        """[N]: the images' numbers among ILSVRC's validation images; None where they are others."""
        matches = [OFFICIAL.fullmatch(image_stem(name)) for name in self.ids]
        return np.array([int(match[1]) for match in matches if match]) if all(matches) else None

    def official_order(self) -> NDArray[np.int64]:
        """[N]: the places of the images in ILSVRC's official files; a ValueError for images without numbers."""
        numbers = self.official_numbers()
        return np.argsort(devkit.official_order(self.ids)) if numbers is None else numbers - 1

    def ordered(self, name: str, rows: int, where: str) -> NDArray[np.int64]:
        """For every row of a file in a known order, the place of its image, -1 for an image that is not here.

        A file of all of ILSVRC's images in validation order is read for a part of them. Raises ValueError for another number
        of rows, and for images without numbers.
        """
        numbers = self.official_numbers()
        if name == "validation" and numbers is not None and rows == ILSVRC_VALIDATION_IMAGES != len(self.ids):
            places = np.full(rows, -1)
            places[numbers - 1] = np.arange(len(numbers))
            return places
        self.check_rows(rows, where)
        if name == "validation":
            # a part of ILSVRC's images has gaps in its numbers
            return np.argsort(numbers) if numbers is not None else np.array(devkit.official_order(self.ids))
        return np.arange(len(self.ids))

    def check_rows(self, rows: int, where: str) -> None:
        """A ValueError unless a file has a row per image."""
        if rows != len(self.ids):
            raise ValueError(f"{where}: expected {len(self.ids)} rows, one per validation image, got {rows}")

    def devkit_places(self) -> NDArray[np.int64]:
        """For every devkit id, from 1, the class's place among the sorted WNIDs; a ValueError without the devkit's classes."""
        if self.numbered is None:
            raise ValueError("classes in the devkit's order need the devkit: give --devkit, its folder or its archive")
        return devkit.class_indices(self.numbered, self.wnids)

    def places(self, names: Sequence[str], where: str) -> NDArray[np.int64]:
        """For every row of a file its image's place.

        Where the images are a part of ILSVRC's, a file may have others of ILSVRC's, whose place is -1. Raises ValueError
        unless all images are named, each of them once.
        """
        known = {image_stem(name): i for i, name in enumerate(self.ids)}
        stems = [image_stem(name) for name in names]
        part = all(OFFICIAL.fullmatch(name) for name in known) and len(known) < ILSVRC_VALIDATION_IMAGES
        unknown = [
            name
            for name, stem in zip(names, stems, strict=True)
            if stem not in known and not (part and OFFICIAL.fullmatch(stem))
        ]
        if unknown:
            raise ValueError(
                f"{where}: {len(unknown)} of {len(names)} images are not among the {len(known)} validation images, the first "
                f"is {unknown[0]!r}: expected ids such as {self.ids[0]}"
            )
        if repeated := [stem for stem, n in Counter(stems).items() if n > 1]:
            raise ValueError(f"{where}: {len(repeated)} images have more than one row, the first is {repeated[0]}")
        if missing := known.keys() - set(stems):
            advice = ": if the file is of a part of the images, prepare that part and give it as --val"
            raise ValueError(
                f"{where}: {len(missing)} of {len(known)} images are missing, the first is {min(missing)}"
                + (advice if all(OFFICIAL.fullmatch(stem) for stem in stems) else "")
            )
        return np.array([known.get(stem, -1) for stem in stems])
