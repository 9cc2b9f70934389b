"""Imported scores: anyone's posteriors or best labels of every validation image, checked and put into a store. No torch.

The image of a row is known by an id in the row, by a list of all images (`--order FILE`), or by a known order:
`validation`, by image number, or `folders`, by class and file name, as torchvision and our stores have it. Classes are WNIDs
in the file's header or labels, or places: among the sorted WNIDs, from 0, or in the devkit's order, from 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.files import file_digest
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.external.score_files import MAX_LABELS, WNID, ScoreFile, read_score_file, stem
from vggrepro.localisation import judging
from vggrepro.scores.stores import Scores, TopLabels, read_scores_or_labels, write_scores, write_top_labels

Classes = Literal["wnid", "sorted", "devkit"]
ORDERS = ("validation", "folders")


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
    def of_devkit(cls, folder: Path) -> ImportedImages:
        """All images that the devkit labels, without their pixels: the same ids in the same order as in a store of ILSVRC."""
        numbered, labels = devkit.read_labels(folder)
        wnids = sorted(numbered.values())
        place = {wnid: i for i, wnid in enumerate(wnids)}
        places = np.array([place[numbered[label]] for label in labels])
        order = np.argsort(places, kind="stable")
        ids = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in order]
        return cls(ids, places[order], wnids, numbered, {"data": None, "data set": "ILSVRC-2012"})

    def ordered(self, name: str) -> NDArray[np.int64]:
        """For every row of a file in a known order, the place of its image; a ValueError for images without numbers."""
        return np.array(devkit.official_order(self.ids)) if name == "validation" else np.arange(len(self.ids))

    def devkit_places(self) -> NDArray[np.int64]:
        """For every devkit id, from 1, the class's place among the sorted WNIDs; a ValueError without the devkit's classes."""
        if self.numbered is None:
            raise ValueError(
                "classes in the devkit's order need the devkit: give --devkit, the folder with meta_clsloc.mat"
            )
        return devkit.class_indices(self.numbered, self.wnids)

    def places(self, names: Sequence[str], where: str) -> NDArray[np.int64]:
        """For every row of a file its image's place; a ValueError unless all images are named, each of them once."""
        known = {stem(name): i for i, name in enumerate(self.ids)}
        stems = [stem(name) for name in names]
        unknown = [name for name, stem in zip(names, stems, strict=True) if stem not in known]
        if unknown:
            raise ValueError(
                f"{where}: {len(unknown)} of {len(names)} images are not among the {len(known)} validation images, the first "
                f"is {unknown[0]!r}: expected ids such as {self.ids[0]}"
            )
        if repeated := [stem for stem, n in Counter(stems).items() if n > 1]:
            raise ValueError(f"{where}: {len(repeated)} images have more than one row, the first is {repeated[0]}")
        if missing := known.keys() - set(stems):
            raise ValueError(f"{where}: {len(missing)} of {len(known)} images are missing, the first is {min(missing)}")
        return np.array([known[stem] for stem in stems])


def orders_of(
    file: ScoreFile, order: str | None, images: ImportedImages, path: Path
) -> tuple[str, dict[str, NDArray[np.int64]]]:
    """The order of a file's rows, and for that and any other order that they might have, the place of every row's image.

    Raises ValueError where the order is not given, given twice, or leaves images out.
    """
    if file.ids is not None:
        if order is not None:
            raise ValueError(f"{path}: has the images' ids itself: leave out the order {order}")
        return "ids", {"ids": images.places(file.ids, str(path))}
    if len(file.values) != len(images.ids):
        raise ValueError(f"{path}: expected {len(images.ids)} rows, one per validation image, got {len(file.values)}")
    order = order or ("validation" if path.suffix == ".txt" else None)
    if order is None:
        raise ValueError(
            f"{path}: does not say which image a row is of: give --order FILE, a list of all images in the order of the rows, "
            "or --order validation (by image number) or --order folders (by class and file name, as torchvision has it)"
        )
    if order not in ORDERS:
        try:
            lines = [line.strip() for line in Path(order).read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"order {order}: neither {' nor '.join(ORDERS)} nor a list of images: {error}") from None
        # Caffe's lists have a label behind every name
        return order, {order: images.places([re.sub(r"\s+\d+$", "", line) for line in lines], order)}
    orders = {order: images.ordered(order)}
    for other in set(ORDERS) - {order}:
        with suppress(ValueError):
            orders[other] = images.ordered(other)
    return order, orders


def is_scores(file: ScoreFile, images: ImportedImages, path: Path) -> bool:
    """Whether a row has a number per class; False: up to five labels. A ValueError where it has neither."""
    count, classes, kind = file.values.shape[1], len(images.wnids), file.values.dtype.kind
    if count == classes and kind in "fiub" and (classes > MAX_LABELS or kind == "f"):
        return True
    if count <= MAX_LABELS and kind in "iuU":
        return False
    raise ValueError(
        f"{path}: expected {classes} numbers an image, one per class, or up to {MAX_LABELS} labels, got {count} columns of "
        f"{file.values.dtype}"
    )


def classes_of(
    file: ScoreFile, classes: Classes | None, images: ImportedImages, path: Path, *, scored: bool
) -> tuple[str, dict[str, NDArray[np.int64]]]:
    """The meaning of the numbers of a file's classes, and others that they might have: each number's place among sorted WNIDs.

    Numbers are columns, from 0, or labels as they are written. Raises ValueError where the file contradicts `classes`.
    """
    start = [] if scored else [-1]
    places = np.arange(len(images.wnids))
    named = file.names if scored and file.names and all(map(WNID.fullmatch, file.names)) else None
    if named and sorted(named) != images.wnids:
        odd = set(named) ^ set(images.wnids)
        raise ValueError(
            f"{path}: the WNIDs of its header are not the images' classes: {min(odd, default='one occurs twice')}"
        )
    if named or file.values.dtype.kind == "U":
        meanings = {"wnid": np.array([images.wnids.index(name) for name in named]) if named else places}
    else:
        meanings = {"sorted": places} | ({} if scored else {"sorted, counted from 1": np.array([*start, *places])})
        if images.numbered is not None or classes == "devkit":
            meanings["devkit"] = np.array([*start, *images.devkit_places()])
    chosen: str = classes or ("devkit" if path.suffix == ".txt" else next(iter(meanings)))
    if chosen not in meanings:
        raise ValueError(f"{path}: its classes are {' or '.join(meanings)}, not {chosen}")
    return chosen, meanings


def suspicion(
    first: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: tuple[str, dict[str, NDArray[np.int64]]],
    orders: tuple[str, dict[str, NDArray[np.int64]]],
) -> str:
    """The other order of classes or images that a file seems to have, with the errors that show it; "" for none.

    `first` [rows] are the numbers of the best classes, as in the file, and `labels` [N] the true classes. A wrong order has
    an accuracy near chance, the right one an accuracy several times higher.
    """

    def accuracy(name: str, order: str) -> float:
        numbers, inside = classes[1][name], (first >= 0) & (first < len(classes[1][name]))
        return float((np.where(inside, numbers[np.where(inside, first, 0)], -1) == labels[orders[1][order]]).mean())

    tried = {(name, order): accuracy(name, order) for name in classes[1] for order in orders[1]}
    now, (best, (name, order)) = tried[classes[0], orders[0]], max((a, names) for names, a in tried.items())
    if best <= 3 * (now + 1 / max(len(numbers) for numbers in classes[1].values())):
        return ""
    changes = [f"classes {name}"] * (name != classes[0]) + [f"images in the order {order}"] * (order != orders[0])
    return (
        f"with classes {classes[0]} and images in the order {orders[0]} the top-1 error is {1 - now:.1%}, as of a wrong "
        f"order; with {' and '.join(changes)} it is {1 - best:.1%}: give that order, if the file has it"
    )


def posteriors_of(values: NDArray[Any], path: Path, *, logits: bool) -> NDArray[np.float32]:
    """The rows of a file as posteriors [N, classes]; with `logits` after the soft-max.

    Raises ValueError for a row that is not finite, or that is no posterior, and for `logits` that are posteriors already.
    """
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise ValueError(f"{path}, row {int(finite.argmin()) + 1}: a number that is not finite")
    total, lowest = values.sum(1, dtype=np.float64), values.min(1)
    right = (abs(total - 1) < 1e-3) & (lowest >= 0)
    if logits and right.all():
        raise ValueError(f"{path}: every row is a posterior already: leave out --logits")
    if logits:
        raised = np.exp(values - values.max(1, keepdims=True).astype(np.float64))
        values = raised / raised.sum(1, keepdims=True)
    elif not right.all():
        row = int(right.argmin())
        raise ValueError(
            f"{path}, row {row + 1}: no posterior: it sums to {total[row]:g}, its smallest number is {lowest[row]:g}. If "
            "these are scores before the soft-max, give --logits"
        )
    posteriors: NDArray[np.float32] = values.astype(np.float32)
    return posteriors


def labels_of(values: NDArray[Any], images: ImportedImages, path: Path) -> NDArray[np.int64]:
    """Labels as numbers [rows, K], -1 for none: WNIDs as places. A ValueError for text that is no class."""
    if values.dtype.kind != "U":
        return values.astype(np.int64)
    known = {wnid: i for i, wnid in enumerate(images.wnids)} | {"": -1}
    for row, names in enumerate(values.tolist(), start=1):
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{path}, row {row}: {unknown[0]!r} is no class of the images: expected WNIDs")
    return np.array([[known[name] for name in names] for names in values.tolist()])


def label_places(
    numbers: NDArray[np.int64], places: NDArray[np.int64], path: Path, *, repeats: bool
) -> NDArray[np.int64]:
    """Lists of labels as places among the sorted WNIDs, [rows, K], -1 for none.

    Raises ValueError for a number that is no class, a list with a gap or without a label, and, unless `repeats`, for a list
    with the same label twice.
    """

    def refuse(bad: NDArray[np.bool_], expected: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{path}, row {row + 1}: {expected}, got {' '.join(map(str, numbers[row]))}")

    low, present = int(places[0] == -1), numbers != -1
    counting = "sorted WNIDs are counted from 0, devkit ids from 1"
    refuse(
        (present & ((numbers < low) | (numbers >= len(places)))).any(1),
        f"expected {low} to {len(places) - 1} ({counting})",
    )
    refuse(~present[:, 0] | (present[:, 1:] & ~present[:, :-1]).any(1), "expected labels, best first, without a gap")
    ordered = np.sort(np.where(present, numbers, -1 - np.arange(numbers.shape[1])), 1)
    if not repeats:
        refuse((ordered[:, 1:] == ordered[:, :-1]).any(1), "expected different labels")
    return np.where(present, places[np.where(present, numbers, 0)], -1)


def import_scores(
    path: Path,
    *,
    name: str,
    out: Path,
    val: Path | None = None,
    devkit_folder: Path | None = None,
    solution: Path | None = None,
    order: str | None = None,
    ids: str | None = None,
    classes: Classes | None = None,
    logits: bool = False,
) -> Scores | TopLabels:
    """Check somebody else's scores of the validation images, and write them to `out` as a store that has their `name`.

    The true classes come from the prepared store `val`, or from the devkit alone. With a `solution`, boxes are judged too.
    """
    if val is None and devkit_folder is None:
        raise ValueError("give --val STORE, or --devkit FOLDER: one of them has the true classes of the images")
    images = (
        ImportedImages.of_store(Store(val), devkit_folder) if val else ImportedImages.of_devkit(devkit_folder or Path())
    )
    file = read_score_file(path, {stem(name) for name in images.ids}, len(images.wnids), ids)
    scored = is_scores(file, images, path)
    orders = orders_of(file, order, images, path)
    meaning = classes_of(file, classes, images, path, scored=scored)
    numbers = file.values if scored else labels_of(file.values, images, path)
    if message := suspicion(numbers.argmax(1) if scored else numbers[:, 0], images.labels, meaning, orders):
        raise ValueError(f"{path}: {message}")
    sort, places = np.argsort(orders[1][orders[0]]), meaning[1][meaning[0]]
    metadata = {
        "name": name,
        "file": path.name,
        "digest": file_digest(path),
        "as": {"order": orders[0], "classes": meaning[0], "logits": logits},
        "classes": len(images.wnids),
        "made": provenance.provenance_record(),
        **images.about,
    }
    if scored:
        posteriors = posteriors_of(numbers, path, logits=logits)[sort][:, np.argsort(places)]
        write_scores(out, posteriors, images.labels, images.ids, metadata)
        return read_scores_or_labels(out)
    if logits:
        raise ValueError(f"{path}: lists labels, not scores: leave out --logits")
    boxes = _judge_boxes(path, images, devkit_folder, solution)
    predicted = label_places(numbers, places, path, repeats=boxes is not None)[sort]
    write_top_labels(
        out,
        TopLabels(
            out, predicted, images.labels, tuple(images.ids), metadata, None if boxes is None else boxes[:, sort]
        ),
    )
    return read_scores_or_labels(out)


def _judge_boxes(
    path: Path, images: ImportedImages, folder: Path | None, solution: Path | None
) -> NDArray[np.bool_] | None:
    """Which images the boxes of the official format do not localise, and which count, [2, rows]; None without boxes, or
    without true ones."""
    if path.suffix != ".txt" or not devkit.predictions_have_boxes(path) or folder is None or solution is None:
        return None
    truth = devkit.read_truth(folder, solution)
    missed_counted = judging.missed_guesses(truth, devkit.read_guesses(path, len(images.ids), len(images.wnids)))
    missed = np.zeros(len(truth.labels), bool)
    missed[~truth.blacklisted] = missed_counted
    return np.stack([missed, ~truth.blacklisted])
