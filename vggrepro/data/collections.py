"""Data sets of transfer (appendix B) as they lie on disk: PASCAL VOC and Caltech. A collection has images and labels.

There is no prepared store of them, because their features are computed once, from the original files. No torch.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.data.annotations import Box, Object, read_xml
from vggrepro.data.layouts import IMAGE, natural
from vggrepro.data.published import CALTECH_ARCHIVE, VOC_ARCHIVE, PublishedFiles
from vggrepro.data.store import decode

VOC_PARTS = ("train", "val", "test")
"""The parts of VOC; final classifiers train on the first two together."""


@dataclass(frozen=True)
class Picture:
    """An image, or a person in it."""

    id: str
    name: str
    """The file, relative to the data set."""
    box: Box | None = None
    """Box of the person; 0-based, inclusive."""


class Collection(ABC):
    """Pictures in a fixed order, with their classes and labels."""

    title: str
    files: PublishedFiles
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    cut: bool = False
    """Whether a picture is its box alone, cut out of the image."""

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def ids(self) -> list[str]:
        """The ids of the pictures."""
        return [picture.id for picture in self.pictures]

    def image(self, i: int) -> NDArray[np.uint8]:
        """The pixels [H, W, 3] of picture `i`; a ValueError that names a damaged file, or a box outside of its image."""
        picture = self.pictures[i]
        where = f"{self.files.path}: {picture.name}"
        pixels = decode(self.files.read(picture.name), where)
        if not self.cut or picture.box is None:
            return pixels
        x0, y0, x1, y1 = picture.box
        cut = pixels[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]
        if not cut.size:
            height, width = pixels.shape[:2]
            raise ValueError(
                f"{where}: expected a box inside {width} x {height} px, got {picture.box}: correct its annotation"
            )
        return cut

    @property
    def groups(self) -> NDArray[np.int64]:
        """[N]: a number that pictures of the same file share, such as two persons in one image."""
        return np.unique([picture.name for picture in self.pictures], return_inverse=True)[1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids, file names, file sizes and boxes, which identifies the collection in stored features."""
        sizes = self.files.sizes()
        lines = (f"{p.id} {p.name} {sizes[p.name]} {p.box if self.cut else ''}\n" for p in self.pictures)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class VOC(Collection):
    """PASCAL VOC for classification: several classes per image; `JPEGImages`, `Annotations`, `ImageSets/Main`.

    Labels come from the lists `ImageSets/Main/<class>_<part>.txt`: 1, -1, or 0 for "difficult", which does not count. Without
    such lists they come from the annotations: 0 where all objects of a class are difficult.
    """

    def __init__(self, path: Path, year: str) -> None:
        """Read the lists; a ValueError that names the file that is missing, wrong, or contradicts another."""
        self.title, self.files = f"VOC-{year}", PublishedFiles(path, VOC_ARCHIVE.format(year=year))
        self.root = _voc_root(self.files, year)
        self._present = set(self.files.names)
        names = {part: self._image_list("Main", part) for part in VOC_PARTS}
        for part in VOC_PARTS[:2]:
            if not names[part]:
                raise ValueError(
                    f"{path}: {self.root}ImageSets/Main/{part}.txt is missing or empty: expected all of {self.title}"
                )
        self.pictures = tuple(
            Picture(name, f"{self.root}JPEGImages/{name}.jpg") for part in VOC_PARTS for name in names[part]
        )
        if twice := [name for name, n in Counter(self.ids).items() if n > 1]:
            raise ValueError(
                f"{path}: image {twice[0]} is in two of the lists {', '.join(VOC_PARTS)}: expected each image in one"
            )
        starts = np.cumsum([0, *(len(names[part]) for part in VOC_PARTS)])
        self.parts = {p: np.arange(a, b) for p, a, b in zip(VOC_PARTS, starts[:-1], starts[1:], strict=True)}
        lists = _class_lists(self.files.names, f"{self.root}ImageSets/Main/")
        self.classes = tuple(lists)
        self.labels = np.zeros((len(self), len(lists)), np.int8)
        """[N, classes]: 1, -1, or 0 for what does not count; all 0 in a part whose labels are withheld."""
        if lists:
            self._read_lists(names)
        else:
            self._read_annotations()

    def labelled(self, part: str) -> bool:
        """Whether the labels of a part are known."""
        return bool((self.labels[self.parts[part]] != 0).any())

    def _image_list(self, task: str, part: str) -> list[str]:
        listing = f"{self.root}ImageSets/{task}/{part}.txt"
        if listing not in self._present:
            return []
        names = [line.split()[0] for line in self.files.lines(listing)]
        for number, name in enumerate(names, start=1):
            if f"{self.root}JPEGImages/{name}.jpg" not in self._present:
                raise ValueError(
                    f"{self.files.path}: {listing}, line {number}: {self.root}JPEGImages/{name}.jpg is missing: "
                    "unpack the archive of this part into the same folder"
                )
        return names

    def _read_lists(self, names: dict[str, list[str]]) -> None:
        index = {name: i for i, name in enumerate(self.ids)}
        for part in VOC_PARTS:
            for c, cls in enumerate(self.classes):
                listing = f"{self.root}ImageSets/Main/{cls}_{part}.txt"
                if listing not in self._present:
                    if part == "test" and self.title == "VOC-2012":
                        continue  # these labels are withheld
                    raise ValueError(f"{self.files.path}: {listing} is missing: expected all of {self.title}")
                rows = [
                    _label_line(self.files, listing, n, line) for n, line in enumerate(self.files.lines(listing), 1)
                ]
                if sorted(name for name, _ in rows) != sorted(names[part]):
                    raise ValueError(
                        f"{self.files.path}: {listing} lists other images than {part}.txt: fetch both again"
                    )
                for name, label in rows:
                    self.labels[index[name], c] = label

    def _read_annotations(self) -> None:
        annotations = [self._objects(picture.id) for picture in self.pictures]
        for picture, objects in zip(self.pictures, annotations, strict=True):
            if not objects:
                raise ValueError(
                    f"{self.files.path}: {self.root}Annotations/{picture.id}.xml has no object, but without lists of classes "
                    "labels come from annotations: correct it, or remove the image from its list"
                )
        self.classes = tuple(sorted({o.name for objects in annotations for o in objects}))
        self.labels = np.full((len(self), len(self.classes)), -1, np.int8)
        for row, objects in zip(self.labels, annotations, strict=True):
            for o in objects:
                c = self.classes.index(o.name)
                row[c] = 1 if not o.difficult else max(row[c], 0)

    def _objects(self, name: str) -> list[Object]:
        file = f"{self.root}Annotations/{name}.xml"
        if file not in self._present:
            raise ValueError(
                f"{self.files.path}: {file} is missing: expected an annotation for every listed image of {self.title}"
            )
        return list(read_xml(self.files.read(file), f"{self.files.path}: {file}").objects)


class Actions(VOC):
    """VOC's persons and what they do: `ImageSets/Action`. Each picture is a person, or the whole image around a person.

    PAPER B: a box says which person is meant. An image may have several persons, and a person may do several things.
    """

    def __init__(self, path: Path, year: str = "2012", *, boxes: bool) -> None:
        """Read the lists; `boxes`: each picture is the person's box alone, cut out of the image."""
        self.title, self.cut = f"VOC-{year} actions", boxes
        self.files = PublishedFiles(path, VOC_ARCHIVE.format(year=year))
        self.root = _voc_root(self.files, year)
        self._present = set(self.files.names)
        lists = _class_lists(self.files.names, f"{self.root}ImageSets/Action/")
        if not lists:
            raise ValueError(
                f"{path}: expected lists of actions, such as {self.root}ImageSets/Action/jumping_train.txt"
            )
        self.classes = tuple(lists)
        people: list[tuple[str, int]] = []
        self.parts: dict[str, NDArray[np.int64]] = {}
        for part in VOC_PARTS:
            images = self._image_list("Action", part)
            added = self._people(part, images)
            self.parts[part] = np.arange(len(people), len(people) + len(added))
            people += added
        index = {person: i for i, person in enumerate(people)}
        if len(index) < len(people):
            raise ValueError(
                f"{path}: a person is listed twice in {self.root}ImageSets/Action: expected each in one part"
            )
        self.labels = np.zeros((len(people), len(lists)), np.int8)
        for part in ("train", "val"):
            self._read_actions(part, index)
        self.pictures = tuple(self._picture(name, number) for name, number in people)

    def _people(self, part: str, images: list[str]) -> list[tuple[str, int]]:
        """The persons of a part: (image, number of the object in its annotation, from 1)."""
        listing = f"{self.root}ImageSets/Action/{self.classes[0]}_{part}.txt"
        if listing in self._present:
            rows = (line.split() for line in self.files.lines(listing))
            return [(row[0], int(row[1])) for row in rows if len(row) > 1 and row[1].isdigit()]
        # the test part has no lists of classes, therefore every annotated person is predicted
        return [(name, k) for name in images for k, o in enumerate(self._objects(name), start=1) if o.name == "person"]

    def _read_actions(self, part: str, index: dict[tuple[str, int], int]) -> None:
        for c, cls in enumerate(self.classes):
            listing = f"{self.root}ImageSets/Action/{cls}_{part}.txt"
            if listing not in self._present:
                raise ValueError(f"{self.files.path}: {listing} is missing: expected all of {self.title}")
            lines = self.files.lines(listing)
            for n, line in enumerate(lines, start=1):
                fields = line.split()
                person = (fields[0], int(fields[1])) if len(fields) == 3 and fields[1].isdigit() else None
                if person not in index or fields[2] not in ("1", "-1", "0"):
                    raise ValueError(
                        f"{self.files.path}: {listing}, line {n}: expected an image, the number of a person in it and "
                        f"1, 0 or -1, got {line!r}"
                    )
                self.labels[index[person], c] = int(fields[2])
            listed = sorted((line.split()[0], int(line.split()[1])) for line in lines)
            if listed != sorted(person for person, i in index.items() if i in self.parts[part]):
                raise ValueError(f"{self.files.path}: {listing} lists other persons than {self.classes[0]}_{part}.txt")

    def _picture(self, name: str, number: int) -> Picture:
        file = f"{self.root}JPEGImages/{name}.jpg"
        if file not in self._present:
            raise ValueError(f"{self.files.path}: {file} is missing, but ImageSets/Action lists a person in it")
        objects = self._objects(name)
        if not 1 <= number <= len(objects):
            raise ValueError(
                f"{self.files.path}: {self.root}Annotations/{name}.xml has {len(objects)} objects, "
                f"ImageSets/Action lists number {number}"
            )
        x0, y0, x1, y1 = objects[number - 1].box
        return Picture(f"{name} {number}", file, (x0 - 1, y0 - 1, x1 - 1, y1 - 1))


class Caltech(Collection):
    """Caltech-101 and Caltech-256: a folder per class, the background class included."""

    def __init__(self, path: Path, size: str) -> None:
        """List the images of `101_ObjectCategories` or `256_ObjectCategories`; a ValueError without class folders."""
        self.title, self.files = f"Caltech-{size}", PublishedFiles(path, CALTECH_ARCHIVE.format(size=size))
        files = [m for name in self.files.names if (m := re.fullmatch(r"((?:.*/)?)([^/]+)/([^/]+)", name))]
        images = [m for m in files if m[3].lower().endswith(IMAGE)]
        inside = [m for m in images if m[1].rstrip("/").endswith(f"{size}_ObjectCategories")] or images
        if not inside:
            raise ValueError(
                f"{path}: expected {size}_ObjectCategories/<class>/*.jpg, unpacked, zipped, or in its tar as published: give "
                f"the folder or archive of {self.title}"
            )
        others = {m[1] for i in inside for m in _OBJECT_CATEGORIES.finditer(f"/{path.resolve().name}/{i[1]}")} - {size}
        if others:
            raise ValueError(f"{path}: {min(others)}_ObjectCategories is Caltech-{min(others)}, expected {self.title}")
        # a class folder may have folders inside, with copies: only the images directly in class folders count
        root = min((m[1] for m in inside), key=lambda name: (name.count("/"), name))
        kept = sorted((m for m in inside if m[1] == root), key=lambda m: (m[2], natural(m[3])))
        self.classes = tuple(dict.fromkeys(m[2] for m in kept))
        if len(self.classes) < 2:
            raise ValueError(
                f"{path}: expected several class folders, got only {self.classes[0]}: give the folder of {self.title}"
            )
        self.pictures = tuple(Picture(f"{m[2]}/{m[3]}", m[0]) for m in kept)
        index = {name: c for c, name in enumerate(self.classes)}
        self.labels = np.array([index[m[2]] for m in kept])
        """[N]: indices of the classes."""

    def splits(self, count: int, train: int, test: int | None) -> list[NDArray[np.int8]]:
        """PAPER B: `count` random splits, each [N]: 1 for training images, 2 for test images, 0 for images that are left out.

        `train` images of each class train, and of its others up to `test` (None: all) test. The same arguments give the same
        splits on every machine. Raises ValueError for a class with too few images.
        """
        few = [(name, n) for name, n in zip(self.classes, np.bincount(self.labels), strict=True) if n <= train]
        if few:
            raise ValueError(
                f"{self.files.path}: class {few[0][0]} has {few[0][1]} images, of which {train} train, and none is left "
                f"to test: lower transfer.{self.title.lower().replace('-', '')}_train, or complete the class"
            )
        return [self._split(seed, train, test) for seed in range(count)]

    def _split(self, seed: int, train: int, test: int | None) -> NDArray[np.int8]:
        rng, roles = np.random.default_rng(seed), np.zeros(len(self), np.int8)
        for c in range(len(self.classes)):
            order = rng.permutation(np.flatnonzero(self.labels == c))
            roles[order[:train]] = 1
            roles[order[train : None if test is None else train + test]] = 2
        return roles


def open_collection(name: str, path: Path) -> VOC | Caltech:
    """The collection `name` of appendix B's tasks in a folder or an archive; a ValueError where its layout is another.

    `voc2007`, `voc2012`, `caltech101`, `caltech256`, `actions-image` or `actions-box`.
    """
    if name.startswith("voc"):
        return VOC(path, name.removeprefix("voc"))
    if name.startswith("caltech"):
        return Caltech(path, name.removeprefix("caltech"))
    return Actions(path, boxes=name == "actions-box")


def _voc_root(files: PublishedFiles, year: str) -> str:
    """The folder, with a slash at its end, that holds ImageSets and JPEGImages; parts in several folders become one."""
    roots = sorted({m[1] for name in files.names if (m := re.match(r"((?:.*/)?)ImageSets/(?:Main|Action)/", name))})
    # what was given may itself be the folder of a year
    called = {root: root or f"{files.path.resolve().name}/" for root in roots}
    of_year = [root for root in roots if called[root].endswith(f"VOC{year}/")]
    # a folder without a year in its name may be of this year, but VOC2007 is not VOC-2012
    of_year = of_year or [root for root in roots if not re.search(r"(^|/)VOC\d{4}/$", called[root])]
    if not of_year:
        raise ValueError(
            f"{files.path}: expected one folder with ImageSets/Main, unpacked, zipped, or in the tars as published "
            f"(VOCtrainval...{year}.tar), such as VOCdevkit/VOC{year}, got 0: none"
            + (f"; here is {', '.join(called.values())}" if roots else "")
        )
    files.merge(of_year[1:], of_year[0])
    return of_year[0]


def _class_lists(names: list[str], folder: str) -> list[str]:
    """The classes that have a list for any part: `aeroplane` of `aeroplane_train.txt`. One class of VOC is called train."""
    matches = (re.fullmatch(rf"{re.escape(folder)}([^/]+)_(train|val|test)\.txt", name) for name in names)
    return sorted({match[1] for match in matches if match})


def _label_line(files: PublishedFiles, listing: str, number: int, line: str) -> tuple[str, int]:
    fields = line.split()
    if len(fields) != 2 or fields[1] not in ("1", "0", "-1"):
        raise ValueError(f"{files.path}: {listing}, line {number}: expected an image and 1, 0 or -1, got {line!r}")
    return fields[0], int(fields[1])


_OBJECT_CATEGORIES = re.compile(r"/(101|256)_ObjectCategories")
"""The folder or archive of all classes; the group says which Caltech."""
