"""How a data set lies on disk. A layout is one small class that lists the classes, and the images of a split. No torch."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vggrepro.core.files import Files
from vggrepro.data.annotations import Box
from vggrepro.data.tars import TarFiles

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")
LARGEST = 100_000
"""Pixels: no side of an image is longer."""

IMAGE = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class Item:
    """One image of a data set."""

    id: str
    """The file name without its folder, unique within a split."""
    label: int
    """Index of the class among the sorted WNIDs."""
    name: str
    """The file, relative to the data set."""
    boxes: tuple[Box, ...] = ()
    """In pixels of the original image, 0-based and inclusive."""
    annotated: tuple[int, int] | None = None
    """Height and width of the image that the boxes were drawn on, where the annotation has them."""
    blacklisted: bool = False
    """Whether the image is left out of the localisation error, and of nothing else."""


class Layout(ABC):
    """A data set on disk: a folder or a zip."""

    title: str
    files: Files | TarFiles
    wnids: list[str]
    """Sorted, as nets and libraries number classes."""
    words: dict[str, str]
    """Nouns of a WNID, where the data set has them."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that have images here: validation images alone are enough where nothing is trained."""
        return SPLITS

    @abstractmethod
    def items(self, split: Split) -> list[Item]:
        """The images of a split, in a fixed order."""

    def _grouped(self, pattern: str) -> dict[str, list[str]]:
        """Image files by WNID, which is the first group of `pattern`; a ValueError that names a class without images."""
        grouped: dict[str, list[str]] = defaultdict(list)
        for name in self.files.names:
            if (match := re.fullmatch(pattern, name)) and name.lower().endswith(IMAGE):
                grouped[match[1]].append(name)
        if empty := [wnid for wnid in self.wnids if not grouped[wnid]]:
            raise ValueError(
                f"{self.files.path}: class {empty[0]} has no image in {pattern.split('/(')[0]}"
                + (f" (and {len(empty) - 1} more classes)" if len(empty) > 1 else "")
                + ": the data set is incomplete, fetch it again"
            )
        return grouped


class TinyImageNet(Layout):
    """Tiny ImageNet as it is distributed: `tiny-imagenet-200/{wnids.txt,words.txt,train/,val/}`, zip or folder."""

    title = "Tiny ImageNet"

    def __init__(self, path: Path) -> None:
        """Read the lists; a ValueError where they are missing."""
        self.files = Files(path)
        lists = sorted((n for n in self.files.names if n.split("/")[-1] == "wnids.txt"), key=len)
        if not lists:
            raise ValueError(f"{path}: no wnids.txt in it: expected tiny-imagenet-200.zip or its folder")
        self.root = lists[0].removesuffix("wnids.txt")
        self.wnids = sorted(line.strip() for line in self.files.lines(lists[0]))
        if len(set(self.wnids)) < len(self.wnids):
            raise ValueError(f"{path}: {lists[0]} names a class twice")
        words = self.files.lines(f"{self.root}words.txt") if f"{self.root}words.txt" in self.files.names else []
        known = set(self.wnids)
        split = (line.split("\t", 1) for line in words if "\t" in line)
        self.words = {wnid: text for wnid, text in split if wnid in known}

    def items(self, split: Split) -> list[Item]:
        """The images in the order of classes and file names."""
        return self._train() if split == "train" else self._val()

    def _train(self) -> list[Item]:
        grouped = self._grouped(rf"{re.escape(self.root)}train/(\w+)/(?:images/)?[^/]+")
        items, known = [], set(self.files.names)
        for label, wnid in enumerate(self.wnids):
            listing = f"{self.root}train/{wnid}/{wnid}_boxes.txt"
            boxes = self._boxes(listing, box_column=1)
            images = [(name.split("/")[-1], name) for name in sorted(grouped[wnid], key=natural)]
            if listing in known:
                self._check_listed(listing, boxes, [image for image, _ in images])
            items += [Item(image, label, name, boxes.get(image, ())) for image, name in images]
        return items

    def _val(self) -> list[Item]:
        listing = f"{self.root}val/val_annotations.txt"
        sorted_by_class, known = self._val_folders(), set(self.files.names)
        listed = self._listed(listing) if listing in known else {}
        boxes = self._boxes(listing, box_column=2)
        official = {image: f"{self.root}val/images/{image}" for image in listed}
        if listing not in known and not sorted_by_class:
            raise ValueError(
                f"{self.files.path}: {listing} is missing, and val/ is not sorted into folders of classes: expected all of "
                "Tiny ImageNet"
            )
        # a copy sorted by class may lie beside the official folder
        if not sorted_by_class or any(name in known for name in official.values()):
            items = self._official_val(listing, listed, official, boxes)
        else:
            items = [Item(image, label, name, boxes.get(image, ())) for image, (label, name) in sorted_by_class.items()]
            where = {item.id: item.label for item in items}
            if odd := [image for image, (label, _) in listed.items() if where.get(image) != label]:
                raise ValueError(
                    f"{self.files.path}: val/ is sorted by class, but {odd[0]} is not where {listing} says"
                )
            if listing in known:
                self._check_listed(listing, listed, where)
        if empty := set(range(len(self.wnids))) - {item.label for item in items}:
            raise ValueError(f"{self.files.path}: class {self.wnids[min(empty)]} has no image in {listing} or in val/")
        return sorted(items, key=lambda item: natural(item.id))

    def _listed(self, listing: str) -> dict[str, tuple[int, int]]:
        """Label and number of the line of every image in `val_annotations.txt`; a ValueError for two lines of one image."""
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        listed: dict[str, tuple[int, int]] = {}
        for number, line in enumerate(self.files.lines(listing), start=1):
            image, wnid = [*line.split("\t"), ""][:2]
            where = f"{self.files.path}: {listing}, line {number}"
            if wnid not in labels:
                raise ValueError(f"{where}: class {wnid!r} is not in wnids.txt")
            if image in listed:
                raise ValueError(f"{where}: {image} is in line {listed[image][1]} already: fetch the data set again")
            listed[image] = labels[wnid], number
        return listed

    def _official_val(
        self, listing: str, listed: dict[str, tuple[int, int]], names: dict[str, str], boxes: dict[str, tuple[Box, ...]]
    ) -> list[Item]:
        present = set(self.files.names)
        for image, (_, number) in listed.items():
            if names[image] not in present:
                raise ValueError(f"{self.files.path}: {listing}, line {number}: {names[image]} is missing")
        within = re.compile(rf"{re.escape(self.root)}val/images/([^/]+)")
        images = [match[1] for name in present if (match := within.fullmatch(name)) and name.lower().endswith(IMAGE)]
        self._check_listed(listing, listed, images)
        return [Item(image, label, names[image], boxes[image]) for image, (label, _) in listed.items()]

    def _check_listed(self, listing: str, listed: Collection[str], images: Collection[str]) -> None:
        """A ValueError for images that a list lacks: it was cut, because where a part is wanted, settings take it."""
        if unlisted := sorted(set(images) - set(listed), key=natural):
            problem = (
                f"{len(unlisted):,} of the {len(images):,} images are not in {listing}, the first is {unlisted[0]}"
            )
            raise ValueError(f"{self.files.path}: {problem}: fetch the data set again")

    def _val_folders(self) -> dict[str, tuple[int, str]]:
        """Label and file of every image in a val/ that was sorted by class; a ValueError for two of one name."""
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        found: dict[str, tuple[int, str]] = {}
        pattern = re.compile(rf"{re.escape(self.root)}val/(?:images/)?(\w+)/(?:images/)?([^/]+)")
        for name in self.files.names:
            match = pattern.fullmatch(name)
            if match and match[1] in labels and name.lower().endswith(IMAGE):
                if match[2] in found:
                    raise ValueError(
                        f"{self.files.path}: {match[2]} is in two folders of val/: {found[match[2]][1]}, {name}"
                    )
                found[match[2]] = labels[match[1]], name
        return found

    def _boxes(self, listing: str, box_column: int) -> dict[str, tuple[Box, ...]]:
        """Boxes by image, from lines of tab-separated image (and WNID), xmin, ymin, xmax, ymax."""
        if listing not in self.files.names:
            return {}
        boxes: dict[str, tuple[Box, ...]] = {}
        for number, line in enumerate(self.files.lines(listing), start=1):
            fields = line.split("\t")
            try:
                x0, y0, x1, y1 = (int(field) for field in fields[box_column : box_column + 4])
            except ValueError:
                raise ValueError(
                    f"{self.files.path}: {listing}, line {number}: expected four numbers, got {line!r}"
                ) from None
            if not (0 <= x0 <= x1 < LARGEST and 0 <= y0 <= y1 < LARGEST):
                raise ValueError(
                    f"{self.files.path}: {listing}, line {number}: expected a box, got {x0} {y0} {x1} {y1}"
                )
            boxes[fields[0]] = (*boxes.get(fields[0], ()), (x0, y0, x1, y1))
        return boxes


def image_stem(name: str) -> str:
    """The image that a file name means: `val/ILSVRC2012_val_00000001.JPEG` -> `ILSVRC2012_val_00000001`.

    Hugging Face's names end in the class: `ILSVRC2012_val_00000001_n01751748.JPEG` is the same image.
    """
    last = name.strip().replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, ending = last.rpartition(".")
    stem = stem if f"{dot}{ending}".lower() in IMAGE else last
    return re.sub(r"(?<=\d)_n\d{8}$", "", stem)


def natural(name: str) -> tuple[int | str, ...]:
    """A key that sorts `val_2` before `val_10`."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name)))


def select(items: list[Item], classes: int | None, per_class: int | None) -> list[Item]:
    """The first `per_class` images of each of the first `classes` classes; a ValueError where a class has fewer."""
    taken: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        if (classes is None or item.label < classes) and (per_class is None or len(taken[item.label]) < per_class):
            taken[item.label].append(item)
    if classes is not None and len(taken) < classes:
        raise ValueError(f"data.classes: expected at most {len(taken)}, the classes of the data set, got {classes}")
    for label, images in taken.items():
        if per_class is not None and len(images) < per_class:
            raise ValueError(
                f"data.train_per_class or data.val_per_class: expected at most {len(images)}, the images of class number "
                f"{label}, got {per_class}"
            )
    return [item for label in sorted(taken) for item in taken[label]]
