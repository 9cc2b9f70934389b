"""Score stores: the posteriors of every image under one evaluation. Scales, crops and nets are averages over stores.

A store is a folder: `posteriors.npy` (float32 [N, classes], memory-mapped), `labels.npy` (the true classes), `ids.txt`,
`made.json`. Of an imported system only the best labels may be known: its store has `answers.npy` (int64 [N, K]) instead of
posteriors, and may have `boxes.npy` (bool [2, N]): which images its boxes do not localise, and which images count. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array, read_ids, read_part
from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.records import typed_record
from vggrepro.paper.references import on_path
from vggrepro.paper.systems import Evaluation
from vggrepro.scores.ranks import best_labels_of_sets, true_class_ranks

IMAGES_PER_CHUNK = 1000
"""Images that are averaged at a time, because 4 MB of 1,000 classes stay in the processor's cache."""
EVALUATE_AGAIN = "evaluate again"
"""What to do about damaged scores."""


@dataclass(frozen=True)
class Scores:
    """A score store, open for reading."""

    folder: Path
    posteriors: NDArray[np.float32]
    """[N, classes]."""
    labels: NDArray[np.int64]
    """[N]: the true classes."""
    ids: tuple[str, ...]
    metadata: dict[str, Any]
    """`made.json`: run, digest of its weights, protocol, Q, digest of the data, commit, versions."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.posteriors.shape[1])

    def rows(self, part: slice) -> NDArray[np.float32]:
        """A copy of the posteriors of some images; a ValueError that names the file where it is cut by now."""
        return read_part(self.folder / "posteriors.npy", part, EVALUATE_AGAIN)


def write_scores(
    folder: Path,
    posteriors: NDArray[np.float32],
    labels: NDArray[np.int64],
    ids: list[str],
    metadata: Mapping[str, Any],
) -> None:
    """Write a store of posteriors [N, classes] and true labels [N] atomically.

    A store keeps float32, the net's own precision; the mean over the views of an image is rounded to it once.

    Raises ValueError where rows are not posteriors, labels are no classes, or the counts differ.
    """
    _check_posteriors(folder, posteriors, labels, ids)
    with atomic_folder(folder, "made.json") as root:
        # row after row, so that a part of the images lies in one piece
        np.save(root / "posteriors.npy", np.ascontiguousarray(posteriors, np.float32))
        np.save(root / "labels.npy", labels.astype(np.int64, copy=False))
        _write_ids(root, ids)
        write_json(root / "made.json", dict(metadata))


def _check_posteriors(folder: Path, posteriors: NDArray[np.float32], labels: NDArray[np.int64], ids: list[str]) -> None:
    n, classes = posteriors.shape
    if not n == len(labels) == len(ids) or len(set(ids)) < n:
        raise ValueError(
            f"{folder}: {n} posteriors, {len(labels)} labels, {len(set(ids))} different ids: expected as many of each"
        )
    if n and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{folder}: labels from {labels.min()} to {labels.max()}, but posteriors of {classes} classes")
    for start in range(0, n, IMAGES_PER_CHUNK):
        part = posteriors[start : start + IMAGES_PER_CHUNK]
        # a NaN is in no interval
        sums_to_1 = abs(part.sum(1, dtype=np.float64) - 1) < 1e-3
        if not sums_to_1.all() or part.min() < 0:
            bad = start + int(np.argmax(~sums_to_1 | (part.min(1) < 0)))
            raise ValueError(
                f"{folder}: the posteriors of {ids[bad]} sum to {posteriors[bad].sum():g}, the smallest is "
                f"{posteriors[bad].min():g}: expected a sum of 1 and none below 0. Did the net diverge?"
            )


def _write_ids(folder: Path, ids: list[str] | tuple[str, ...]) -> None:
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")


def read_scores(folder: Path) -> Scores:
    """Open a store; a ValueError that names the file where it is missing or damaged."""
    metadata = typed_record(folder / "made.json", again=EVALUATE_AGAIN)
    ids = read_ids(folder / "ids.txt", EVALUATE_AGAIN)
    posteriors = read_array(folder / "posteriors.npy", np.float32, (len(ids), None), EVALUATE_AGAIN, mapped=True)
    labels = read_array(folder / "labels.npy", np.int64, (len(ids),), EVALUATE_AGAIN)
    return Scores(folder, posteriors, labels, ids, metadata)


class EvaluationStore(Protocol):
    """What one evaluation of a net gives for every image: a store of scores or of boxes."""

    @property
    def folder(self) -> Path:
        """The store's folder."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """`made.json`."""


S = TypeVar("S", bound=EvaluationStore)


def open_evaluations(
    folder: Path, evaluations: Iterable[Evaluation], read: Callable[[Path], S], reference: str = ""
) -> dict[str, S]:
    """The stores of these evaluations that lie below `folder`, by path, each opened by `read`; absent ones are left out.

    `reference` is the folder's name of the other images that they are of; their keys are the paths without it. Raises
    ValueError for a store that is damaged, of another evaluation, or of other images than the first.
    """
    stores: dict[str, S] = {}
    for evaluation in evaluations:
        place = folder / on_path(evaluation.path, reference)
        if place.exists():
            store = stores[evaluation.path] = read(place)
            first = next(iter(stores.values()))
            expected = [evaluation.run.name, evaluation.protocol, evaluation.Q]
            got = [store.metadata.get(key) for key in ("run", "protocol", "Q")]
            if got != expected:
                raise ValueError(f"{store.folder}: holds the scores of {got}, expected {expected}: evaluate again")
            if store.metadata.get("data") != first.metadata.get("data"):
                raise ValueError(f"{store.folder} and {first.folder} were made on different images: evaluate again")
    return stores


@dataclass(frozen=True)
class TopLabels:
    """A store of the best labels of every image, without posteriors: enough for errors, too little for an average."""

    folder: Path
    predicted: NDArray[np.int64]
    """[N, K]: up to five labels, best first; -1 where there are fewer."""
    labels: NDArray[np.int64]
    """[N]: the true classes."""
    ids: tuple[str, ...]
    metadata: dict[str, Any]
    """`made.json`."""
    boxes: NDArray[np.bool_] | None = None
    """[2, N]: whether an image is not localised, and whether it counts for localisation (is not blacklisted); None without
    boxes."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.metadata["classes"])

    def ranks(self, labels: NDArray[np.int64]) -> NDArray[np.int32]:
        """[N]: the first place of a true label, of [N, L], among those predicted; the number of classes, an error, without."""
        predicted = np.where(self.predicted < 0, self.classes, self.predicted)
        right = (predicted[:, :, None] == labels[:, None, :]).any(2)
        return np.where(right.any(1), right.argmax(1), self.classes).astype(np.int32)


def write_top_labels(folder: Path, store: TopLabels) -> None:
    """Write a store of labels atomically."""
    with atomic_folder(folder, "made.json") as root:
        np.save(root / "answers.npy", store.predicted.astype(np.int64, copy=False))
        np.save(root / "labels.npy", store.labels.astype(np.int64, copy=False))
        if store.boxes is not None:
            np.save(root / "boxes.npy", store.boxes)
        _write_ids(root, store.ids)
        write_json(root / "made.json", store.metadata)


def read_scores_or_labels(folder: Path) -> Scores | TopLabels:
    """Open a store of posteriors, or one of labels alone; a ValueError that names it where it is missing or damaged."""
    if not (folder / "answers.npy").exists():
        return read_scores(folder)
    metadata = typed_record(folder / "made.json", ("classes",), again="import the labels again")
    again, boxes_file = "import the labels again", folder / "boxes.npy"
    ids = read_ids(folder / "ids.txt", again)
    predicted = read_array(folder / "answers.npy", np.int64, (len(ids), None), again)
    labels = read_array(folder / "labels.npy", np.int64, (len(ids),), again)
    boxes = read_array(boxes_file, np.bool_, (2, len(ids)), again) if boxes_file.exists() else None
    return TopLabels(folder, predicted, labels, ids, metadata, boxes)


Mixture = Mapping[str, Fraction]
"""The weights of stores in an average, by the keys of the stores."""
Name = TypeVar("Name", bound=Hashable)
"""What names a mixture."""


LabelsOf = Callable[[Scores | TopLabels], NDArray[np.int64]]
"""The true classes of a store's images, [N, L] as in `LabelSets`."""


def own_labels(store: Scores | TopLabels) -> NDArray[np.int64]:
    """The true classes that the data set gives, one an image."""
    return store.labels[:, None]


def mixture_ranks(
    stores: Mapping[str, Scores | TopLabels], mixtures: Mapping[Name, Mixture], labels_of: LabelsOf = own_labels
) -> dict[Name, NDArray[np.int32]]:
    """The rank of the true class of every image, [N], under each weighted average of stores; of several, of the best.

    PAPER 3.2, 4.2-4.4: scales, protocols and nets are all combined by averaging posteriors. Every store is read once for
    all mixtures, a chunk of images at a time. Sums are in float64, so that rounding never decides between two classes.

    Raises ValueError where stores do not hold the same images in the same order, and for an average over labels alone.
    """
    labels_only = {key: store for key, store in stores.items() if isinstance(store, TopLabels)}
    for mixture in mixtures.values():
        if len(mixture) > 1 and (unaveraged := set(mixture) & set(labels_only)):
            raise ValueError(
                f"{labels_only[min(unaveraged)].folder}: holds the best labels alone, which cannot be averaged: import "
                f"posteriors, or leave it out of the fusion of {', '.join(mixture)}"
            )
    alone = {name: labels_only[key] for name, (key, *_) in mixtures.items() if key in labels_only}
    ranks = {name: store.ranks(labels_of(store)) for name, store in alone.items()}
    posteriors = {key: store for key, store in stores.items() if isinstance(store, Scores)}
    return ranks | _average_ranks(
        posteriors, {name: mixture for name, mixture in mixtures.items() if name not in ranks}, labels_of
    )


def _average_ranks(
    stores: Mapping[str, Scores], mixtures: Mapping[Name, Mixture], labels_of: LabelsOf
) -> dict[Name, NDArray[np.int32]]:
    if not mixtures:
        return {}
    first = same_images(stores)
    labels = labels_of(first)
    ranks = {name: np.empty(len(first), np.int32) for name in mixtures}
    for part, name, total, _ in summed_posteriors(stores, mixtures):
        ranks[name][part] = true_class_ranks(total, best_labels_of_sets(total, labels[part]))
    return ranks


def summed_posteriors(
    stores: Mapping[str, Scores], mixtures: Mapping[Name, Mixture]
) -> Iterator[tuple[slice, Name, NDArray[np.floating], int]]:
    """For every chunk of images, every mixture: its weighted sum of posteriors [n, classes], and the sum of its weights.

    The weights are whole numbers, so that equal ones are exactly equal. Every store is read once for all mixtures. Raises
    ValueError where stores do not hold the same images in the same order.
    """
    images = len(same_images(stores))
    weights = {name: _whole_weights(mixture) for name, mixture in mixtures.items()}
    for start in range(0, images, IMAGES_PER_CHUNK):
        part = slice(start, start + IMAGES_PER_CHUNK)
        loaded = {key: store.rows(part) for key, store in stores.items()}
        for name, of_mixture in weights.items():
            yield part, name, _weighted_sum(loaded, of_mixture), _sum_of_weights(of_mixture)


def best_labels(stores: Mapping[str, Scores], mixture: Mixture, count: int) -> NDArray[np.int64]:
    """The `count` best labels of every image, best first, [N, count], under a weighted average of stores.

    Of classes with equal posteriors the lower number comes first, as in `true_class_ranks`.
    """
    first, weights = same_images(stores), _whole_weights(mixture)
    labels = np.empty((len(first), min(count, first.classes)), np.int64)
    for start in range(0, len(first), IMAGES_PER_CHUNK):
        part = slice(start, start + IMAGES_PER_CHUNK)
        total = _weighted_sum({key: stores[key].rows(part) for key in mixture}, weights)
        labels[part] = np.argsort(-total, 1, kind="stable")[:, : labels.shape[1]]
    return labels


def _whole_weights(mixture: Mixture) -> list[tuple[str, int]]:
    """The weights times a common factor that makes them whole numbers, so that equal weights are exactly equal."""
    smallest = min(mixture.values())
    shares = {key: weight / smallest for key, weight in mixture.items()}
    common = int(np.lcm.reduce([share.denominator for share in shares.values()]))
    return [(key, int(share * common)) for key, share in shares.items()]


def _sum_of_weights(weights: list[tuple[str, int]]) -> int:
    """What a weighted sum is to be divided by: a single store is not multiplied."""
    return sum(weight for _, weight in weights) if len(weights) > 1 else 1


def _weighted_sum(loaded: Mapping[str, NDArray[np.float32]], weights: list[tuple[str, int]]) -> NDArray[np.floating]:
    (key, weight), *others = weights
    if not others:
        return loaded[key]
    total = np.multiply(loaded[key], weight, dtype=np.float64)
    for key, weight in others:
        total += loaded[key] if weight == 1 else np.multiply(loaded[key], weight, dtype=np.float64)
    return total


def same_images(stores: Mapping[str, Scores]) -> Scores:
    """The first of the stores; a ValueError where they do not all hold the same images in the same order."""
    first, *others = stores.values()
    for other in others:
        if other.ids != first.ids or not np.array_equal(other.labels, first.labels):
            raise ValueError(
                f"{other.folder} and {first.folder} hold different images or labels: evaluate both on one data set"
            )
    return first
