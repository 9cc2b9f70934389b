"""Imported scores: anyone's posteriors or best labels of every validation image, checked and put into a store. No torch.

The image of a row is known by an id in the row, by a list of all images (`--order FILE`), or by a known order:
`validation`, by image number, or `folders`, by class and file name, as torchvision and our stores have it. Classes are WNIDs
in the file's header or labels, or places: among the sorted WNIDs, from 0 or from 1, or in the devkit's order, from 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.files import file_digest
from vggrepro.data import devkit
from vggrepro.data.devkit import Guess
from vggrepro.data.layouts import image_stem
from vggrepro.data.store import Store
from vggrepro.external.meanings import Accepted, Classes, HitsByMeaning, Meanings, classes_of, is_scores, orders_of
from vggrepro.external.posteriors import posteriors_of
from vggrepro.external.score_files import read_score_file
from vggrepro.external.score_tables import ScoreFile
from vggrepro.external.validation_images import ImportedImages
from vggrepro.localisation.errors import ErrorCounts, count_errors, missed_guesses
from vggrepro.scores.stores import Scores, TopLabels, read_scores_or_labels, write_scores, write_top_labels

TRUTH_COLUMNS = (
    "label",
    "labels",
    "target",
    "true",
    "truth",
    "true_label",
    "y",
    "y_true",
    "gt",
    "ground_truth",
    "class",
)
"""Names of columns that may have the true classes."""


def labels_of(values: NDArray[Any], images: ImportedImages, path: Path) -> NDArray[np.int64]:
    """Labels as numbers [rows, K], -1 for none: WNIDs as places. A ValueError for text that is no class."""
    if values.dtype.kind != "U":
        return values.astype(np.int64)
    known = {wnid: i for i, wnid in enumerate(images.wnids)} | {"": -1}
    for row, names in enumerate(values.tolist(), start=1):
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{path}, row {row}: {unknown[0]!r} is no class of the images: expected WNIDs")
    return np.array([[known[name] for name in names] for names in values.tolist()])


def check_lists(numbers: NDArray[np.int64], path: Path, *, repeats: bool) -> None:
    """A ValueError for a list with a gap or without a label, and, unless `repeats`, for one with the same label twice."""
    present = numbers != -1
    ordered = np.sort(np.where(present, numbers, -1 - np.arange(numbers.shape[1])), 1)
    gaps, twice = (
        ~present[:, 0] | (present[:, 1:] & ~present[:, :-1]).any(1),
        (ordered[:, 1:] == ordered[:, :-1]).any(1),
    )
    _refuse_row(gaps, numbers, path, "expected labels, best first, without a gap")
    _refuse_row(twice & (not repeats), numbers, path, "expected different labels")


def label_places(numbers: NDArray[np.int64], places: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """Lists of labels as places among the sorted WNIDs, [rows, K], -1 for none; a ValueError for a number that is no class."""
    low, present = int(places[0] == -1), numbers != -1
    counting = "sorted WNIDs are counted from 0, devkit ids from 1"
    odd = (present & ((numbers < low) | (numbers >= len(places)))).any(1)
    _refuse_row(odd, numbers, path, f"expected {low} to {len(places) - 1} ({counting})")
    return np.where(present, places[np.where(present, numbers, 0)], -1)


def _refuse_row(bad: NDArray[np.bool_], numbers: NDArray[np.int64], path: Path, expected: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{path}, row {row + 1}: {expected}, got {' '.join(map(str, numbers[row]))}")


def without_truth(file: ScoreFile, numbers: NDArray[np.int64], evidence: HitsByMeaning) -> NDArray[np.int64]:
    """Lists of labels without a column that is called after the true classes, and has them for every image."""
    hits = evidence.hits(evidence.classes[0], evidence.orders[0])
    names = [name.strip().lower() for name in file.names or ()]
    kept = [k for k in range(numbers.shape[1]) if not names or names[k] not in TRUTH_COLUMNS or hits[k] < 1]
    return numbers[:, kept] if kept else numbers


def scores_of_labels(scores_file: ScoreFile, places: NDArray[np.int64], images: ImportedImages) -> NDArray[np.float64]:
    """The scores [rows, K] of the labels of another file, whose rows are of the images at `places`.

    Rows that have the images' ids are found by them, others are in the order of the labels. Raises ValueError unless the ids
    name every image once.
    """
    scores = np.asarray(scores_file.values, np.float64)
    if scores_file.ids is None:
        return scores
    row_of_place = np.zeros(len(images.ids), int)
    of_scores = images.places(scores_file.ids, "--scores")
    row_of_place[of_scores[of_scores >= 0]] = np.flatnonzero(of_scores >= 0)
    # labels of images that are not here are left out later, whatever their scores
    return scores[np.where(places >= 0, row_of_place[places], 0)]


def best_first(
    numbers: NDArray[np.int64], file: ScoreFile, of_labels: NDArray[np.float64] | None, path: Path
) -> NDArray[np.int64]:
    """Lists of labels [rows, K] sorted by their scores, where these are given; none (-1) comes last."""
    scores = file.scores if of_labels is None else of_labels
    if scores is None:
        return numbers
    if scores.shape != numbers.shape or scores.dtype.kind != "f":
        raise ValueError(f"{path}: expected a score for every label {list(numbers.shape)}, got {list(scores.shape)}")
    if np.isnan(scores[numbers >= 0]).any():
        raise ValueError(f"{path}: a label has a score that is no number")
    ranked = np.where(numbers < 0, np.inf, -scores)
    # of equal scores the lower label comes first, as of equal posteriors
    return np.take_along_axis(numbers, np.lexsort((numbers, ranked), axis=1), 1)


def import_scores(
    path: Path,
    *,
    name: str,
    out: Path,
    val: Path | None = None,
    devkit_folder: Path | None = None,
    folders: Path | None = None,
    solution: Path | None = None,
    order: str | None = None,
    ids: str | None = None,
    classes: Classes | None = None,
    logits: bool = False,
    scores: Path | None = None,
    accept: tuple[Accepted, ...] = (),
) -> Scores | TopLabels:
    """Check somebody else's scores of the validation images, and write them to `out` as a store that has their `name`.

    The true classes come from the prepared store `val`, or from the devkit alone; those of other images of the same classes
    from the numbers of their `folders`. With a `solution`, boxes are judged too.
    `scores` is a file with the scores of a file's labels, by which they are sorted; `accept` names what would be refused.
    """
    if val is None and devkit_folder is None:
        raise ValueError("give --val STORE, or --devkit FOLDER: one of them has the true classes of the images")
    images = (
        ImportedImages.of_store(Store(val), devkit_folder) if val else ImportedImages.of_devkit(devkit_folder or Path())
    )
    images = ImportedImages.of_folders(folders, images) if folders else images
    known = {image_stem(image) for image in images.ids}
    file = read_score_file(path, known, len(images.wnids), ids)
    scored = is_scores(file, images, path)
    orders = orders_of(file, order, images, path)
    meaning = classes_of(file, classes, images, path, scored=scored)
    sort = rows_in_our_order(orders)
    record: dict[str, Any] = {"order": orders[0], "classes": meaning[0], "logits": logits, "accepted": list(accept)}
    metadata = {
        "name": name,
        "file": path.name,
        "digest": file_digest(path),
        "as": record,
        "classes": len(images.wnids),
        "made": provenance.provenance_record(),
        **images.about,
    }
    if scored:
        _refuse(scores, "--scores", path, "has numbers per class, not labels")
        posteriors, record["numbers"] = posteriors_of(file.values, path, logits=logits)
        evidence = HitsByMeaning(posteriors.argmax(1)[:, None], images.labels, meaning, orders)
        evidence.check_meaning(path)
        evidence.check_errors(path, accept)
        write_scores(out, in_our_order(posteriors[sort], meaning), images.labels, images.ids, metadata)
        return read_scores_or_labels(out)
    _refuse(logits, "--logits", path, "lists labels, not scores")
    scores_file = read_score_file(scores, known, len(images.wnids)) if scores else None
    record["labels"] = "sorted by their scores" if scores or file.scores is not None else "best first"
    predicted = _read_lists(path, file, scores_file, images, (meaning, orders), accept)
    boxes = _judge_boxes(predicted, file.boxes, sort, images, devkit_folder, solution)
    write_top_labels(out, TopLabels(out, predicted, images.labels, tuple(images.ids), metadata, boxes))
    return read_scores_or_labels(out)


def rows_in_our_order(orders: Meanings) -> NDArray[np.int64]:
    """[N]: for every image the row of a file; rows of images that are not here are left out."""
    places = orders[1][orders[0]]
    rows: NDArray[np.int64] = np.argsort(places, kind="stable")[int((places < 0).sum()) :]
    return rows


def _read_lists(
    path: Path,
    file: ScoreFile,
    scores_file: ScoreFile | None,
    images: ImportedImages,
    meanings: tuple[Meanings, Meanings],
    accept: tuple[Accepted, ...],
) -> NDArray[np.int64]:
    """A file's lists of labels, best first, in the order of the images: places among the sorted WNIDs [N, K], -1 for none."""
    meaning, orders = meanings
    numbers = labels_of(file.values, images, path)
    numbers = without_truth(file, numbers, HitsByMeaning(numbers, images.labels, meaning, orders))
    of_labels = scores_of_labels(scores_file, orders[1][orders[0]], images) if scores_file else None
    numbers = best_first(numbers, file, of_labels, path)
    check_lists(numbers, path, repeats=file.boxes is not None)
    evidence = HitsByMeaning(numbers, images.labels, meaning, orders)
    evidence.check_meaning(path)
    predicted = label_places(numbers, meaning[1][meaning[0]], path)[rows_in_our_order(orders)]
    evidence.check_errors(path, accept)
    return predicted


def _refuse(given: object, option: str, path: Path, because: str) -> None:
    if given:
        raise ValueError(f"{path}: {because}: leave out {option}")


def in_our_order(posteriors: NDArray[np.float32], classes: Meanings) -> NDArray[np.float32]:
    """Posteriors with a column per class in the order of the sorted WNIDs; a column of no class (background) is left out.

    What is left of a row is divided by its sum: posteriors of an image that shows one of the classes.
    """
    places = classes[1][classes[0]]
    columns = np.argsort(places)[int((places < 0).sum()) :]
    ours = posteriors[:, columns]
    if len(columns) < posteriors.shape[1]:
        ours = (ours / ours.sum(1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return ours


def _judge_boxes(
    predicted: NDArray[np.int64],
    boxes: NDArray[np.float64] | None,
    sort: NDArray[np.int64],
    images: ImportedImages,
    folder: Path | None,
    solution: Path | None,
) -> NDArray[np.bool_] | None:
    """Which images a file's boxes do not localise, and which count, [2, N]; None without boxes, or without true ones."""
    if boxes is None or folder is None or solution is None:
        return None
    truth = devkit.read_truth(folder, solution).of(images.official_order())
    ids = {wnid: number for number, wnid in truth.wnids.items()}
    guesses = guesses_of(predicted, boxes[sort], [ids[wnid] for wnid in images.wnids])
    missed = np.zeros(len(truth.labels), bool)
    missed[~truth.blacklisted] = missed_guesses(truth, guesses)
    return np.stack([missed, ~truth.blacklisted])


def guesses_of(predicted: NDArray[np.int64], boxes: NDArray[np.float64] | None, devkit_ids: list[int]) -> list[Guess]:
    """Lists of labels [N, K], places among the sorted WNIDs, with boxes [N, K, 4] or none, as guesses with devkit ids."""
    guesses = []
    for row, labels in enumerate(predicted):
        count = int((labels >= 0).sum())
        guessed = tuple(devkit_ids[place] for place in labels[:count])
        guesses.append(Guess(guessed, None if boxes is None else boxes[row, :count]))
    return guesses


def judge_predictions(
    path: Path,
    *,
    devkit_folder: Path,
    solution: Path | None,
    first: int | None,
    labels_only: bool,
    accept: tuple[Accepted, ...] = (),
) -> ErrorCounts:
    """The errors of predictions of the `first` validation images, or of all, by the devkit's rule.

    A `.txt` is in the official format; any other file is read as `import_scores` reads lists of labels. Boxes are judged where
    there is a `solution`, unless `labels_only`. Raises ValueError for a file that cannot be read so, that has another number
    of rows, or whose lists are not best first.
    """
    images = ImportedImages.of_devkit(devkit_folder, first)
    known, classes = {image_stem(image) for image in images.ids}, len(images.wnids)
    file = read_score_file(path, known, classes, with_boxes=False if labels_only else None)
    if is_scores(file, images, path):
        raise ValueError(f"{path}: has numbers per class, not labels: vggrepro import reads it")
    if file.boxes is not None and solution is None and not labels_only:
        raise ValueError(f"{path}: has boxes: give --solution LOC_val_solution.csv, or --labels-only")
    boxes = None if labels_only else file.boxes
    orders = orders_of(file, None if file.ids else "validation", images, path)
    meaning = classes_of(file, None, images, path, scored=False)
    sort = rows_in_our_order(orders)
    predicted = _read_lists(path, file, None, images, (meaning, orders), ("chance", *accept))
    truth = devkit.read_truth(devkit_folder, solution if boxes is not None else None, first)
    truth = truth.of(images.official_order())
    ids = {wnid: number for number, wnid in truth.wnids.items()}
    guesses = guesses_of(predicted, None if boxes is None else boxes[sort], [ids[wnid] for wnid in images.wnids])
    return count_errors(truth, guesses)
