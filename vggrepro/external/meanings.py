"""What the rows and numbers of a file mean: which images, which classes, and whether the errors that follow can be. No torch.

A wrong order of images or classes has an accuracy near chance, the right one an accuracy several times higher. A list that is
best first is right at its first place far more often than at all the others.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import limits
from vggrepro.core.files import read_regular
from vggrepro.core.text import text_lines
from vggrepro.external.score_tables import MAX_LABELS, WNID, ScoreFile
from vggrepro.external.validation_images import ImportedImages

Classes = Literal["wnid", "sorted", "sorted-from-1", "sorted-as-text", "devkit"]
Accepted = Literal["chance", "order"]
ORDERS = ("validation", "folders")
NEAR_CHANCE = 0.005
"""An accuracy that exceeds chance by less is near chance, however many images there are."""
Meanings = tuple[str, dict[str, NDArray[np.int64]]]
"""The chosen meaning, and by name all that are possible: for every number, or row, the place that it then has; -1: none."""


def orders_of(file: ScoreFile, order: str | None, images: ImportedImages, path: Path) -> Meanings:
    """The order of a file's rows, and for that and any other order that they might have, the place of every row's image.

    A row of an image that is not among `images` has place -1, see `ImportedImages.places`. Raises ValueError where the order
    is not given, given twice, or leaves images out.
    """
    if file.ids is not None:
        if order is not None:
            raise ValueError(f"{path}: has the images' ids itself: leave out the order {order}")
        return "ids", {"ids": images.places(file.ids, str(path))}
    order = order or ("validation" if path.suffix == ".txt" else None)
    if order is None:
        images.check_rows(len(file.values), str(path))
        raise ValueError(
            f"{path}: does not say which image a row is of: give --order FILE, a list of all images in the order of the rows, "
            "or --order validation (by image number) or --order folders (by class and file name, as torchvision has it)"
        )
    if order not in ORDERS:
        try:
            lines = [line.strip() for line in text_lines(read_regular(Path(order), limits.TEXT_BYTES))]
        except OSError as error:
            raise ValueError(f"order {order}: neither {' nor '.join(ORDERS)} nor a list of images: {error}") from None
        if len(lines) != len(file.values):
            raise ValueError(
                f"{order}: lists {len(lines)} images, {path} has {len(file.values)} rows: expected as many"
            )
        # Caffe's lists have a label behind every name
        return order, {order: images.places([re.sub(r"[\s,;]+(\d+|n\d{8})$", "", line) for line in lines], order)}
    orders = {order: images.ordered(order, len(file.values), str(path))}
    for other in set(ORDERS) - {order}:
        with suppress(ValueError):
            orders[other] = images.ordered(other, len(file.values), str(path))
    return order, orders


def is_scores(file: ScoreFile, images: ImportedImages, path: Path) -> bool:
    """Whether a row has a number per class, perhaps with TensorFlow's background; False: up to five labels.

    Raises ValueError where it has neither.
    """
    count, classes, kind = file.values.shape[1], len(images.wnids), file.values.dtype.kind
    if (
        count in (classes, classes + 1)
        and kind in "fiub"
        and (count > MAX_LABELS or kind == "f")
        and file.scores is None
    ):
        return True
    if count <= MAX_LABELS and kind in "iuU":
        return False
    raise ValueError(
        f"{path}: expected {classes} numbers an image, one per class, or up to {MAX_LABELS} labels, got {count} columns of "
        f"{file.values.dtype}"
    )


def classes_of(
    file: ScoreFile, classes: Classes | None, images: ImportedImages, path: Path, *, scored: bool
) -> Meanings:
    """The meaning of the numbers of a file's classes, and others that they might have: each number's place among sorted WNIDs.

    Numbers are columns, from 0, or labels as they are written. Raises ValueError where the file contradicts `classes`, and
    for one column more than classes without `classes`.
    """
    count, places = len(images.wnids), np.arange(len(images.wnids))
    named = file.names if scored and file.names and all(map(WNID.fullmatch, file.names)) else None
    if named and sorted(named) != images.wnids:
        odd = set(named) ^ set(images.wnids)
        raise ValueError(
            f"{path}: the WNIDs of its header are not the images' classes: {min(odd, default='one occurs twice')}"
        )
    if named or file.values.dtype.kind == "U":
        meanings = {"wnid": np.array([images.wnids.index(name) for name in named]) if named else places}
    elif scored and file.values.shape[1] == count + 1:
        meanings = {"sorted-from-1": np.array([-1, *places]), "sorted": np.array([*places, -1])}
        if images.numbered is not None:
            meanings["devkit"] = np.array([-1, *images.devkit_places()])
        if classes is None:
            raise ValueError(
                f"{path}: {count + 1} columns, one more than classes: if the first is TensorFlow's background, give --classes "
                "sorted-from-1; if the last is, give --classes sorted"
            )
    else:
        as_text = np.array(sorted(range(count), key=str))
        meanings = {"sorted": _by_header(file, count) if scored else places, "sorted-as-text": as_text}
        if not scored:
            meanings["sorted-from-1"] = np.array([-1, *places])
        if images.numbered is not None or classes == "devkit":
            meanings["devkit"] = np.array([*([] if scored else [-1]), *images.devkit_places()])
    chosen: str = classes or ("devkit" if path.suffix == ".txt" and "devkit" in meanings else next(iter(meanings)))
    if chosen not in meanings:
        raise ValueError(f"{path}: its classes are {' or '.join(meanings)}, not {chosen}")
    return chosen, meanings


def _by_header(file: ScoreFile, count: int) -> NDArray[np.int64]:
    """The class of every column: the number in its name, where all names have one (columns sorted as text); else its place."""
    numbers = [int(m[0]) for name in file.names or () if (m := re.search(r"\d+$", name))]
    return np.array(numbers) if sorted(numbers) == list(range(count)) else np.arange(count)


class HitsByMeaning:
    """How often the numbers of a file are right under every meaning of them."""

    def __init__(
        self, numbers: NDArray[np.int64], labels: NDArray[np.int64], classes: Meanings, orders: Meanings
    ) -> None:
        """`numbers` [rows, K] are the best classes, as in the file; `labels` [N] the true classes."""
        self.numbers, self.labels, self.classes, self.orders = numbers, labels, classes, orders

    def hits(self, name: str, order: str) -> NDArray[np.float64]:
        """[K]: the share of images whose true class is at each place of a row."""
        places, rows = self.classes[1][name], self.orders[1][order] >= 0
        numbers = self.numbers[rows]
        inside = (numbers >= 0) & (numbers < len(places))
        right = (
            np.where(inside, places[np.where(inside, numbers, 0)], -1)
            == self.labels[self.orders[1][order][rows]][:, None]
        )
        shares: NDArray[np.float64] = right.mean(0)
        return shares

    @property
    def chance(self) -> float:
        """The accuracy of guesses."""
        return 1 / int(max(places.max() for places in self.classes[1].values()) + 1)

    @property
    def now(self) -> NDArray[np.float64]:
        """[K]: the share of images whose true class is at each place, as the numbers are taken."""
        return self.hits(self.classes[0], self.orders[0])

    def check_meaning(self, path: Path) -> None:
        """A ValueError where another meaning of the numbers has an accuracy several times higher, which names it."""
        now, others = self.now, self._others()
        name, order = max(others, key=lambda names: float(self.hits(*names).max()), default=("", ""))
        if name and float(self.hits(name, order).max()) > 3 * (now.max() + self.chance):
            changes = [f"classes {name}"] * (name != self.classes[0])
            changes += [f"images in the order {order}"] * (order != self.orders[0])
            raise ValueError(
                f"{path}: {self._said(now)}, as of a wrong order; with {' and '.join(changes)} it is "
                f"{1 - self.hits(name, order)[0]:.1%}: give that order, if the file has it"
            )

    def check_errors(self, path: Path, accepted: tuple[Accepted, ...]) -> None:
        """A ValueError where errors are as by chance, or lists not best first, unless the user accepts it: see the module."""
        now = self.now
        if now.max() <= self.chance + max(NEAR_CHANCE, 3 * (self.chance / len(self.labels)) ** 0.5):
            if "chance" not in accepted:
                tried = ", ".join(" and ".join(names) for names in self._others()) or "none"
                raise ValueError(
                    f"{path}: {self._said(now)}, as by chance, and so it is in every other order that can be tried ({tried}): "
                    "the rows are of other images, or the numbers of other classes, than was said. If the system is that bad, "
                    "say --accept chance"
                )
        elif "order" not in accepted and not is_best_first(now, len(self.labels), self.chance):
            others = ", ".join(f"{share:.1%}" for share in now[1:])
            raise ValueError(
                f"{path}: its lists do not seem to be best first: the true class is at the first place in {now[0]:.1%} of the "
                f"images, at the others in {others}. Give the scores of the labels, in the file or with --scores FILE, or "
                "write the lists best first; --accept order takes them as they are"
            )

    def _said(self, now: NDArray[np.float64]) -> str:
        return f"with classes {self.classes[0]} and images in the order {self.orders[0]} the top-1 error is {1 - now[0]:.1%}"

    def _others(self) -> list[tuple[str, str]]:
        chosen = (self.classes[0], self.orders[0])
        return [pair for name in self.classes[1] for order in self.orders[1] if (pair := (name, order)) != chosen]


def is_best_first(hits: NDArray[np.float64], images: int, chance: float) -> bool:
    """Whether lists are best first, by the share of images whose true class is at each place, [K].

    The first place of such lists is right more often than all others together, less what guesses among the other classes
    would hit; of lists in another order it is not. A difference counts if it exceeds two standard errors.
    """
    first, others = hits[0], hits[1:]
    if not len(others) or not others.sum():
        return True
    guessed = (1 - first) * chance / (1 - chance)
    rest = float((others - guessed).clip(0).sum())

    def exceeds(share: float) -> bool:
        return bool(first - share > 2 * ((first + share) / images) ** 0.5)

    return exceeds(rest) and exceeds(float(others.max()))
