"""How a data set lies on disk. A layout is one small class: its classes, and the images of a split."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vggrepro.data.annotations import Annotation, Box, read_numbers, read_solution, read_xml
from vggrepro.files import Files
from vggrepro.flow import Complaints, ahead, progress

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")
LARGEST = 100_000
"""No side of an image is longer."""

IMAGE = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class Item:
    """One image of a data set."""

    id: str
    """Its file name without folder: unique within a split."""
    label: int
    """Index of its class among the sorted WNIDs."""
    name: str
    """Its file, relative to the data set."""
    boxes: tuple[Box, ...] = ()
    """In pixels of the original image, 0-based and inclusive."""
    annotated: tuple[int, int] | None = None
    """Height and width of the image that the boxes were drawn on, where it is said."""
    blacklisted: bool = False
    """Left out of the localisation error, and of nothing else."""


class Layout(ABC):
    """A data set on disk: a folder or a zip."""

    title: str
    files: Files
    wnids: list[str]
    """Sorted, as nets and libraries number classes."""
    words: dict[str, str]
    """What a WNID means, where the data set says so."""

    @abstractmethod
    def items(self, split: Split) -> list[Item]:
        """The images of a split, in a fixed order."""

    def _grouped(self, pattern: str) -> dict[str, list[str]]:
        """Image files by the WNID that the first group of `pattern` finds in their names; a ValueError for an empty class."""
        grouped: dict[str, list[str]] = defaultdict(list)
        for name in self.files.names:
            if (match := re.fullmatch(pattern, name)) and name.lower().endswith(IMAGE):
                grouped[match[1]].append(name)
        if empty := [wnid for wnid in self.wnids if not grouped[wnid]]:
            raise ValueError(
                f"{self.files.path}: class {empty[0]} has no image in {pattern.split('/(')[0]}"
                + (f" (and {len(empty) - 1} more classes)" if len(empty) > 1 else "")
                + ": the data set is incomplete"
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
            raise ValueError(
                f"{path}: not Tiny ImageNet: no wnids.txt in it; expected tiny-imagenet-200.zip or its folder"
            )
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
        grouped = self._grouped(rf"{re.escape(self.root)}train/(\w+)/images/[^/]+")
        items = []
        for label, wnid in enumerate(self.wnids):
            boxes = self._boxes(f"{self.root}train/{wnid}/{wnid}_boxes.txt", box_column=1)
            for name in sorted(grouped[wnid], key=natural):
                image = name.split("/")[-1]
                items.append(Item(image, label, name, boxes.get(image, ())))
        return items

    def _val(self) -> list[Item]:
        listing = f"{self.root}val/val_annotations.txt"
        if listing not in self.files.names:
            raise ValueError(f"{self.files.path}: not Tiny ImageNet: {listing} is missing")
        boxes = self._boxes(listing, box_column=2)
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        present, items = set(self.files.names), []
        for number, line in enumerate(self.files.lines(listing), start=1):
            image, wnid = [*line.split("\t"), ""][:2]
            name = f"{self.root}val/images/{image}"
            if wnid not in labels:
                raise ValueError(f"{self.files.path}: {listing}, line {number}: class {wnid!r} is not in wnids.txt")
            if name not in present:
                raise ValueError(f"{self.files.path}: {listing}, line {number}: {name} is missing")
            items.append(Item(image, labels[wnid], name, boxes[image]))
        if empty := set(range(len(self.wnids))) - {item.label for item in items}:
            raise ValueError(f"{self.files.path}: class {self.wnids[min(empty)]} has no image in {listing}")
        return sorted(items, key=lambda item: natural(item.id))

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
                raise ValueError(f"{self.files.path}: {listing}, line {number}: no box: {x0} {y0} {x1} {y1}")
            boxes[fields[0]] = (*boxes.get(fields[0], ()), (x0, y0, x1, y1))
        return boxes


class ImageFolders(Layout):
    """ILSVRC as torchvision lays it out: `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`.

    Boxes, where they are there: `LOC_train_solution.csv` and `LOC_val_solution.csv`, or else XML below
    `Annotations/CLS-LOC/{train,val}` or `Annotations/{train,val}`. The blacklist: `ILSVRC20*_clsloc_validation_blacklist.txt`.
    """

    title = "ILSVRC-2012"

    def __init__(self, path: Path) -> None:
        """List the images; a ValueError where there are no class folders."""
        self.files = Files(path)
        found = {m[1] for name in self.files.names if (m := re.match(r"train/(n\d{8})/", name))}
        if not found:
            raise ValueError(
                f"{path}: no train/<wnid>/ folders in it, such as train/n01440764/: expected ILSVRC as class folders"
            )
        self.wnids, self.words = sorted(found), {}

    def items(self, split: Split) -> list[Item]:
        """The images in the order of classes and file names."""
        unknown = {m[1] for n in self.files.names if (m := re.match(rf"{split}/([^/]+)/", n))} - set(self.wnids)
        if unknown:
            raise ValueError(f"{self.files.path}: {split}/{min(unknown)} is a class that train/ does not have")
        grouped = self._grouped(rf"{split}/(n\d{{8}})/[^/]+")
        names = [(name, label) for label, wnid in enumerate(self.wnids) for name in sorted(grouped[wnid], key=natural)]
        boxes = self._boxes(split, {_stem(name): self.wnids[label] for name, label in names})
        blacklist = self._blacklist() if split == "val" else frozenset()
        items = []
        for name, label in names:
            boxed, size = boxes.get(_stem(name), ((), None))
            items.append(Item(name.split("/")[-1], label, name, boxed, size, _stem(name) in blacklist))
        return items

    def _boxes(
        self, split: Split, classes: dict[str, str]
    ) -> dict[str, tuple[tuple[Box, ...], tuple[int, int] | None]]:
        """The boxes of annotated images, and the size they were drawn on; a ValueError for an annotation of no image.

        Half of the training images have none. A validation image without one could never be localised: it is named. So is
        a box of another class; in training it is left out. A name that is no WNID stands for the image's class: some of
        ILSVRC's training boxes are named in words.
        """
        boxes, complaints = {}, Complaints()
        for place, image, found in self._annotations(split):
            if image not in classes or image in boxes:
                raise ValueError(f"{place}: {image} is annotated twice, or is no image of {split}/")
            for other in {o.name for o in found.objects if _WNID.fullmatch(o.name)} - {classes[image]}:
                said = f"{place}: a box of {other}, but {image} is a {classes[image]}"
                if split == "val":
                    raise ValueError(said)
                complaints.add(f"{said}: left out")
            kept = [o.box for o in found.objects if o.name == classes[image] or not _WNID.fullmatch(o.name)]
            boxes[image] = tuple(kept), found.size
        complaints.end()
        if split == "val" and boxes and (missing := set(classes) - {image for image in boxes if boxes[image][0]}):
            raise ValueError(
                f"{self.files.path}: {len(missing)} of {len(classes)} validation images have no box, the first is "
                f"{min(missing)}: add their annotations, or take all annotations away (localisation=false)"
            )
        return boxes

    def _annotations(self, split: Split) -> Iterator[tuple[str, str, Annotation]]:
        """(place, image, its annotation) of every annotation there is."""
        listing = f"LOC_{split}_solution.csv"
        if listing in self.files.names:
            text = self.files.read(listing).decode("utf-8", "replace")
            yield from read_solution(text.splitlines(), f"{self.files.path}: {listing}")
            return
        pattern = re.compile(rf"Annotations/(CLS-LOC/)?{split}/(.+/)?[^/]+\.xml")
        names = [name for name in self.files.names if pattern.fullmatch(name)]

        def read(name: str) -> tuple[str, str, Annotation]:
            place = f"{self.files.path}: {name}"
            return place, _stem(name), read_xml(self.files.read(name), place)

        # half a million small files: what a network file system takes for one, it takes for sixteen
        found = ahead(read, names, workers=READERS, waiting=16 * READERS)
        yield from progress(found, total=len(names), about=f"annotations, {split}", unit="file")

    def _blacklist(self) -> frozenset[str]:
        names = [n for n in self.files.names if re.fullmatch(r"(.+/)?ILSVRC20\d\d_clsloc_validation_blacklist\.txt", n)]
        found = {tuple(self._numbers(name)) for name in names}
        if len(found) > 1:
            raise ValueError(f"{self.files.path}: {' and '.join(names)} differ: keep one blacklist")
        return frozenset(f"ILSVRC2012_val_{number:08d}" for numbers in found for number in numbers)

    def _numbers(self, name: str) -> list[int]:
        return read_numbers(self.files.read(name).decode("utf-8", "replace"), f"{self.files.path}: {name}", 1, 50_000)


LAYOUTS: dict[str, type[TinyImageNet | ImageFolders]] = {"tiny-imagenet": TinyImageNet, "ilsvrc": ImageFolders}


def has_boxes(layout: str, path: str | None) -> bool:
    """Whether a data set seems to have boxes, from a look at its folder alone: both splits have annotations somewhere."""
    if layout != "ilsvrc" or path is None:
        return True
    folder = Path(path)
    below = [[f"LOC_{split}_solution.csv", f"Annotations/CLS-LOC/{split}", f"Annotations/{split}"] for split in SPLITS]
    return not folder.is_dir() or all(any((folder / name).exists() for name in names) for names in below)


READERS = 16
"""Annotations that are read at a time."""

_WNID = re.compile(r"n\d{8}")


def _stem(name: str) -> str:
    return name.split("/")[-1].rsplit(".", 1)[0]


def natural(name: str) -> tuple[int | str, ...]:
    """`val_2` before `val_10`."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def select(items: list[Item], classes: int | None, per_class: int | None) -> list[Item]:
    """The first `per_class` images of each of the first `classes` classes; a ValueError where a class has fewer."""
    taken: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        if (classes is None or item.label < classes) and (per_class is None or len(taken[item.label]) < per_class):
            taken[item.label].append(item)
    if classes is not None and len(taken) < classes:
        raise ValueError(f"data.classes: expected at most the {len(taken)} classes that there are, got {classes}")
    for label, found in taken.items():
        if per_class is not None and len(found) < per_class:
            raise ValueError(
                f"class number {label} has {len(found)} images, {per_class} are asked for: lower data.*_per_class"
            )
    return [item for label in sorted(taken) for item in taken[label]]
