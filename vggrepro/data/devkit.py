"""ILSVRC's own files: labels, blacklist, true boxes, and predictions in the official format. No torch.

The devkit numbers classes 1 to 1000 in an order of its own; nets and libraries use the sorted WNIDs, 0 to 999. No class
keeps its place and names are no keys: everything here is keyed on the WNID.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.data import boxes
from vggrepro.data.annotations import read_numbers, read_solution, read_synsets

PREFIX = "ILSVRC20*_clsloc_validation"
MAX_GUESSES = 5
"""Labels, with their boxes, that count for an image."""


@dataclass(frozen=True)
class Truth:
    """What is true of the validation images, in the order of their numbers."""

    wnids: dict[int, str]
    """Devkit id -> WNID, for the 1000 classes."""
    labels: NDArray[np.int64]
    """[N]: devkit ids."""
    boxes: tuple[NDArray[np.int64], ...]
    """For each image its true boxes [T, 4]."""
    blacklisted: NDArray[np.bool_]
    """[N]: left out of the localisation error, and of nothing else."""

    def indices(self) -> NDArray[np.int64]:
        """[N]: labels as places among the sorted WNIDs, as nets number classes."""
        place = {wnid: i for i, wnid in enumerate(sorted(self.wnids.values()))}
        return np.array([place[self.wnids[label]] for label in self.labels.tolist()])


@dataclass(frozen=True)
class Guess:
    """Up to five labels (devkit ids) of an image, best first, and their boxes where there are any."""

    labels: tuple[int, ...]
    boxes: NDArray[np.float64] | None
    """[G, 4]."""


def read_truth(devkit: Path, solution: Path, first: int | None = None) -> Truth:
    """The devkit's folder (`meta_clsloc.mat`, labels, blacklist) and `LOC_val_solution.csv`; of the `first` images alone.

    Raises ValueError where the files do not fit together.
    """
    wnids, labels = read_labels(devkit)
    listed = _numbers(_one(devkit, f"{PREFIX}_blacklist.txt"), len(labels))
    blacklisted = np.zeros(len(labels), bool)
    blacklisted[np.array(listed, int) - 1] = True
    true_boxes = _read_solution(solution, [wnids[label] for label in labels])
    count = len(labels) if first is None else first
    return Truth(wnids, np.array(labels[:count]), tuple(true_boxes[:count]), blacklisted[:count])


def read_labels(devkit: Path) -> tuple[dict[int, str], list[int]]:
    """Devkit id -> WNID, and the devkit ids of the validation images in the order of their numbers."""
    wnids = read_wnids(devkit)
    return wnids, _numbers(_one(devkit, f"{PREFIX}_ground_truth.txt"), len(wnids))


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"{folder}: expected one {pattern}, found {len(found)}: is this the devkit's data folder?")
    return found[0]


def read_wnids(devkit: Path) -> dict[int, str]:
    """Devkit id -> WNID, for the classes, from `meta_clsloc.mat`; a ValueError where it cannot be read."""
    path = devkit / "meta_clsloc.mat"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as the devkit's list of synsets: {error}") from None
    return {number: wnid for number, (wnid, _) in read_synsets(data, str(path)).items()}


def places(wnids_by_id: dict[int, str], wnids: Sequence[str]) -> NDArray[np.int64]:
    """For every devkit id, from 1, the class's place among `wnids`; a ValueError where the classes are not the same."""
    place = {wnid: i for i, wnid in enumerate(wnids)}
    found = [wnids_by_id[number] for number in sorted(wnids_by_id)]
    if set(found) != set(place):
        raise ValueError(f"the devkit has {len(found)} classes, the images {len(place)}, and they are not the same")
    return np.array([place[wnid] for wnid in found])


def _numbers(path: Path, high: int) -> list[int]:
    return read_numbers(path.read_text(encoding="utf-8"), str(path), 1, high)


def _read_solution(path: Path, wnids: list[str]) -> list[NDArray[np.int64]]:
    """The true boxes of every image in the order of image numbers, from `LOC_val_solution.csv`."""
    found: dict[int, NDArray[np.int64]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for where, name, annotation in read_solution(file, str(path)):
            objects = annotation.objects
            number = name.rpartition("_")[2]
            image = int(number) if number.isdigit() else 0
            if not 1 <= image <= len(wnids) or image in found:
                raise ValueError(f"{where}: image {name} is not among the {len(wnids)}, or there twice")
            if other := {box.name for box in objects} - {wnids[image - 1]}:
                raise ValueError(f"{where}: a box of {min(other)}, but the image's label is {wnids[image - 1]}")
            for box in objects:
                boxes.check_box(box.box, where)
            found[image] = np.array([box.box for box in objects]).reshape(-1, 4)
    if missing := set(range(1, len(wnids) + 1)) - set(found):
        raise ValueError(
            f"{path}: {len(missing)} of {len(wnids)} images have no line, the first is number {min(missing)}"
        )
    return [found[i] for i in range(1, len(wnids) + 1)]


def predictions_have_boxes(path: Path) -> bool:
    """Whether predictions in the official format have boxes, by their numbers of fields.

    Lines of five fields may be five labels or a label and its box: five different whole numbers in every line are labels.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file]
    if any(len(fields) % 5 for fields in lines):
        return False
    return any(len(fields) > 5 or len(set(fields)) < 5 or not all(map(str.isdigit, fields)) for fields in lines)


def read_guesses(path: Path, images: int, classes: int = 1000, *, with_boxes: bool = True) -> list[Guess]:
    """Predictions in the official format, a line per image: up to five `label xmin ymin xmax ymax`, or up to five labels.

    Raises ValueError that names the line: too few or too many lines or fields, an unknown label, a box that is none.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
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
    """Lines in the official format. Box coordinates keep four decimals, which the devkit reads: no overlap changes sides."""
    for guess in guesses:
        if guess.boxes is None:
            yield " ".join(map(str, guess.labels))
        else:
            rows = zip(guess.labels, guess.boxes, strict=True)
            yield " ".join(
                f"{label} " + " ".join(f"{v:.4f}".rstrip("0").rstrip(".") for v in box) for label, box in rows
            )


def official_order(ids: Sequence[str]) -> list[int]:
    """Places of images in the order of their numbers, in which official files list them: `ILSVRC2012_val_00000002.JPEG`
    after `...01.JPEG`. A ValueError for an id without a number, and unless numbers run from 0 or 1 without a gap."""
    numbers = [re.findall(r"\d+", name.rsplit(".", 1)[0])[-1:] for name in ids]
    if nameless := [name for name, number in zip(ids, numbers, strict=True) if not number]:
        raise ValueError(f"image {nameless[0]} has no number in its name: official files list images by number")
    order = sorted(range(len(ids)), key=lambda i: int(numbers[i][0]))
    first = int(numbers[order[0]][0])
    for place, i in enumerate(order):
        if int(numbers[i][0]) != first + place or first > 1:
            raise ValueError(
                f"the images are numbered {first}, ..., but {ids[i]} follows as number {place + 1}: official files list every "
                "image from the first on; predict for the whole validation set, not a part of it"
            )
    return order


def devkit_labels(wnids: Sequence[str], devkit: Path) -> list[int]:
    """The devkit id of every class of a data set; a ValueError for a class that the devkit does not have."""
    known = {wnid: label for label, wnid in read_wnids(devkit).items()}
    if unknown := [wnid for wnid in wnids if wnid not in known]:
        raise ValueError(
            f"{devkit}: {len(unknown)} of {len(wnids)} classes are not the devkit's, the first is {unknown[0]}"
        )
    return [known[wnid] for wnid in wnids]
