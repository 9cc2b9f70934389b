"""ILSVRC's own files: labels, blacklist, true boxes, and predictions in the official format. No torch.

The devkit numbers classes from 1 to 1000 in its own order; nets and libraries number the sorted WNIDs from 0 to 999. No
class has the same place in both orders, and some classes share a name, therefore everything here is keyed on the WNID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import limits
from vggrepro.core.files import read_regular
from vggrepro.core.text import decode_text, text_lines
from vggrepro.data import boxes
from vggrepro.data.annotations import read_numbers, read_solution, read_synsets
from vggrepro.data.devkit_files import BLACKLIST, LABELS_FILE, SYNSETS, DevkitFiles, read_blacklist
from vggrepro.data.layouts import image_stem

MAX_GUESSES = 5
"""Labels, with their boxes, that count for an image (top-5)."""


@dataclass(frozen=True)
class Truth:
    """True labels and boxes of the validation images, in the order of their numbers."""

    wnids: dict[int, str]
    """Devkit id -> WNID, for the 1000 classes."""
    labels: NDArray[np.int64]
    """[N]: devkit ids."""
    boxes: tuple[NDArray[np.int64], ...]
    """The true boxes [T, 4] of each image."""
    blacklisted: NDArray[np.bool_]
    """[N]: whether an image is left out of the localisation error, and of nothing else."""

    def indices(self) -> NDArray[np.int64]:
        """[N]: labels as indices among the sorted WNIDs, as nets number classes."""
        index = {wnid: i for i, wnid in enumerate(sorted(self.wnids.values()))}
        return np.array([index[self.wnids[label]] for label in self.labels.tolist()])

    def of(self, images: NDArray[np.int64]) -> Truth:
        """The truth of some images [n], by their places from 0, in that order."""
        boxes = tuple(self.boxes[i] for i in images.tolist())
        return Truth(self.wnids, self.labels[images], boxes, self.blacklisted[images])


@dataclass(frozen=True)
class Guess:
    """Up to five labels (devkit ids) of an image, best first, and their boxes where there are any."""

    labels: tuple[int, ...]
    boxes: NDArray[np.float64] | None
    """[G, 4], a box for each label."""


def read_truth(devkit: Path, solution: Path | None, first: int | None = None) -> Truth:
    """The truth in a devkit (classes, labels, blacklist: see `devkit_files`) and in `LOC_val_solution.csv`.

    `first`: of so many images only. Without a solution, no image has a box and none is blacklisted: the devkit of 2012, which
    has no blacklist, is enough for labels. Raises ValueError where the files do not fit together.
    """
    files = DevkitFiles(devkit)
    wnids, labels = _labels(files)
    blacklisted, true_boxes = np.zeros(len(labels), bool), [np.empty((0, 4), np.int64)] * len(labels)
    if solution is not None:
        where, data = files.read(BLACKLIST)
        numbers = read_blacklist(data, where, images=len(labels), highest=len(labels))
        blacklisted[np.array(numbers) - 1] = True
        true_boxes = _read_solution(solution, [wnids[label] for label in labels])
    count = len(labels) if first is None else first
    return Truth(wnids, np.array(labels[:count]), tuple(true_boxes[:count]), blacklisted[:count])


def read_labels(devkit: Path) -> tuple[dict[int, str], list[int]]:
    """Devkit id -> WNID, and the devkit ids of the validation images in the order of their numbers."""
    return _labels(DevkitFiles(devkit))


def read_wnids(devkit: Path) -> dict[int, str]:
    """Devkit id -> WNID of the classes, from `meta.mat` or `meta_clsloc.mat`; a ValueError where it cannot be read."""
    return _wnids(DevkitFiles(devkit))


def _labels(files: DevkitFiles) -> tuple[dict[int, str], list[int]]:
    wnids = _wnids(files)
    where, data = files.read(LABELS_FILE)
    return wnids, read_numbers(decode_text(data), where, 1, len(wnids))


def _wnids(files: DevkitFiles) -> dict[int, str]:
    where, data = files.read(SYNSETS)
    return {number: wnid for number, (wnid, _) in read_synsets(data, where).items()}


def class_indices(wnids_by_id: dict[int, str], wnids: Sequence[str]) -> NDArray[np.int64]:
    """[classes]: for every devkit id, from 1, the index of its class in `wnids`; a ValueError where the classes differ."""
    index = {wnid: i for i, wnid in enumerate(wnids)}
    ordered = [wnids_by_id[number] for number in sorted(wnids_by_id)]
    if odd := set(ordered) ^ set(index):
        raise ValueError(
            f"the devkit has {len(ordered)} classes, the images {len(index)}; {len(odd)} are in one of them only, such as "
            f"{min(odd)}: give the devkit of these images"
        )
    return np.array([index[wnid] for wnid in ordered])


def _read_solution(path: Path, wnids: list[str]) -> list[NDArray[np.int64]]:
    """The true boxes of every image in the order of image numbers, from `LOC_val_solution.csv`."""
    true_boxes: dict[int, NDArray[np.int64]] = {}
    for where, name, annotation in read_solution(
        decode_text(read_regular(path, limits.TEXT_BYTES)).split("\n"), str(path)
    ):
        number = name.rpartition("_")[2]
        image = int(number) if number.isdigit() else 0
        if not 1 <= image <= len(wnids) or image in true_boxes:
            problem = "is listed twice" if image in true_boxes else "does not exist"
            raise ValueError(f"{where}: expected each of {len(wnids)} images once, but {name} {problem}")
        if other := {box.name for box in annotation.objects} - {wnids[image - 1]}:
            raise ValueError(f"{where}: expected boxes of {wnids[image - 1]}, the image's label, got {min(other)}")
        for box in annotation.objects:
            boxes.check_box(box.box, where)
        true_boxes[image] = np.array([box.box for box in annotation.objects]).reshape(-1, 4)
    if missing := set(range(1, len(wnids) + 1)) - set(true_boxes):
        raise ValueError(
            f"{path}: {len(missing)} of {len(wnids)} images have no line, the first is number {min(missing)}"
        )
    return [true_boxes[i] for i in range(1, len(wnids) + 1)]


def predictions_have_boxes(path: Path) -> bool:
    """Whether a file of predictions in the official format has boxes, which its numbers of fields decide.

    A line of five fields is five labels, or one label and its box. Five different whole numbers in every line are labels.
    """
    lines = [line.split() for line in text_lines(read_regular(path, limits.TEXT_BYTES))]
    if any(len(fields) % 5 for fields in lines):
        return False
    return any(len(fields) > 5 or len(set(fields)) < 5 or not all(map(str.isdigit, fields)) for fields in lines)


def read_guesses(path: Path, images: int, classes: int = 1000, *, with_boxes: bool = True) -> list[Guess]:
    """Predictions in the official format, a line per image: up to five `label xmin ymin xmax ymax`, or up to five labels.

    Raises ValueError that names the line: for too few or too many lines or fields, an unknown label, or a wrong box.
    """
    lines = decode_text(read_regular(path, limits.TEXT_BYTES)).removesuffix("\n").split("\n")
    # editors add empty lines at the end
    while len(lines) > images and not lines[-1].strip():
        lines.pop()
    lines = [] if lines == [""] else lines
    if len(lines) != images:
        raise ValueError(f"{path}: expected {images} lines, one per validation image in their order, got {len(lines)}")
    return [_guess(line, classes, with_boxes, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]


def _guess(line: str, classes: int, with_boxes: bool, where: str) -> Guess:
    fields, size = line.split(), 5 if with_boxes else 1
    if not fields or len(fields) % size or len(fields) > MAX_GUESSES * size:
        what = "label xmin ymin xmax ymax" if with_boxes else "labels"
        raise ValueError(f"{where}: expected one to five {what}, got {len(fields)} numbers")
    try:
        values = np.array(fields, np.float64).reshape(-1, size)
    except ValueError:
        raise ValueError(f"{where}: expected numbers, got {line[:80]!r}") from None
    for row in values:
        if not (row[0] == np.floor(row[0]) and 1 <= row[0] <= classes):
            raise ValueError(f"{where}: expected a devkit id from 1 to {classes}, got {row[0]:g}")
        if with_boxes:
            boxes.check_box(row[1:].tolist(), where)
    return Guess(tuple(int(v) for v in values[:, 0]), values[:, 1:] if with_boxes else None)


def format_guesses(guesses: list[Guess]) -> Iterator[str]:
    """Lines in the official format. Coordinates have four decimals, so that no overlap crosses the limit by rounding."""
    for guess in guesses:
        if guess.boxes is None:
            yield " ".join(map(str, guess.labels))
        else:
            rows = zip(guess.labels, guess.boxes, strict=True)
            yield " ".join(
                f"{label} " + " ".join(f"{v:.4f}".rstrip("0").rstrip(".") for v in box) for label, box in rows
            )


def official_order(ids: Sequence[str]) -> list[int]:
    """Indices of images in the order of their numbers, as official files list them: `ILSVRC2012_val_00000002.JPEG` after
    `...01.JPEG`. Raises ValueError for an id without a number, and unless numbers run from 0 or 1 without a gap."""
    numbers = [re.findall(r"\d+", image_stem(name))[-1:] for name in ids]
    if nameless := [name for name, number in zip(ids, numbers, strict=True) if not number]:
        raise ValueError(
            f"image {nameless[0]}: expected a number in its name, because official files list images by number"
        )
    order = sorted(range(len(ids)), key=lambda i: int(numbers[i][0]))
    start = min(int(numbers[order[0]][0]), 1)
    for number, i in enumerate(order, start):
        if int(numbers[i][0]) != number:
            raise ValueError(
                f"image {ids[i]}: expected number {number} next, because official files list all images from 0 or 1 on: "
                "predict for the whole validation set, not a part of it"
            )
    return order


def devkit_labels(wnids: Sequence[str], devkit: Path) -> list[int]:
    """The devkit id of every class of a data set; a ValueError for a class that the devkit does not have."""
    ids = {wnid: label for label, wnid in read_wnids(devkit).items()}
    if unknown := [wnid for wnid in wnids if wnid not in ids]:
        raise ValueError(
            f"{devkit}: {len(unknown)} of {len(wnids)} classes are not the devkit's, the first is {unknown[0]}"
        )
    return [ids[wnid] for wnid in wnids]
