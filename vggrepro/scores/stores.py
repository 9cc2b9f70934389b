"""Score stores: the posteriors of every image under one evaluation. Scales, crops and nets are averages over stores.

A store is a folder: `posteriors.npy` (float32 [N, classes], memory-mapped), `labels.npy`, `ids.txt`, `made.json`. Somebody
else's system of which only the best labels are known has `answers.npy` (int64 [N, K]) instead, and may have `boxes.npy`
(bool [2, N]): which images its boxes do not localise, and which count. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.files import atomic_folder, read_json, write_json
from vggrepro.paper.runs import Evaluation
from vggrepro.scores.ranks import true_class_ranks

IMAGES_PER_CHUNK = 1000
"""Images that are averaged at a time: 4 MB of 1,000 classes stay in the processor's cache."""


@dataclass(frozen=True)
class Scores:
    """A score store, open for reading."""

    folder: Path
    posteriors: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    made: dict[str, Any]
    """What made it: run, digest of its weights, protocol, Q, digest of the data, commit, versions."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.posteriors.shape[1])

    def rows(self, part: slice) -> NDArray[np.float32]:
        """A copy of some images' posteriors, over a map of its own: the pages of forty stores would fill the memory."""
        return np.array(np.load(self.folder / "posteriors.npy", mmap_mode="r")[part])


def write_scores(
    folder: Path, posteriors: NDArray[np.float32], labels: NDArray[np.int64], ids: list[str], made: Mapping[str, Any]
) -> None:
    """Write a store atomically; a ValueError for what are no posteriors.

    A store keeps float32, in which the net computes; the mean over an image's views is rounded to it, once.
    """
    _check(folder, posteriors, labels, ids)
    with atomic_folder(folder, "made.json") as root:
        np.save(root / "posteriors.npy", posteriors.astype(np.float32, copy=False))
        np.save(root / "labels.npy", labels.astype(np.int64, copy=False))
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
        write_json(root / "made.json", dict(made))


def _check(folder: Path, posteriors: NDArray[np.float32], labels: NDArray[np.int64], ids: list[str]) -> None:
    n, classes = posteriors.shape
    if not n == len(labels) == len(ids) or len(set(ids)) < n:
        raise ValueError(
            f"{folder}: {n} posteriors, {len(labels)} labels, {len(set(ids))} different ids: expected as many of each"
        )
    if n and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{folder}: labels from {labels.min()} to {labels.max()}, but posteriors of {classes} classes")
    for start in range(0, n, IMAGES_PER_CHUNK):
        part = posteriors[start : start + IMAGES_PER_CHUNK]
        total = part.sum(1, dtype=np.float64)
        if not (np.isfinite(total) & (abs(total - 1) < 1e-3)).all() or part.min() < 0:
            bad = start + int(np.argmax(~(abs(total - 1) < 1e-3) | (part.min(1) < 0)))
            raise ValueError(f"{folder}: the row of {ids[bad]} is no posterior: it sums to {posteriors[bad].sum():g}")


def read_scores(folder: Path) -> Scores:
    """Open a store; a ValueError that names the file where it is missing or damaged."""
    made = read_json(folder / "made.json")
    try:
        posteriors = np.load(folder / "posteriors.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        ids = tuple((folder / "ids.txt").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: damaged scores ({error}): delete the folder and evaluate again") from None
    if not len(posteriors) == len(labels) == len(ids):
        raise ValueError(
            f"{folder}: {len(posteriors)} posteriors, {len(labels)} labels, {len(ids)} ids: evaluate again"
        )
    return Scores(folder, posteriors, labels, ids, made)


class EvaluationStore(Protocol):
    """What a net gave for every image under one evaluation: scores, or boxes."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    @property
    def made(self) -> Mapping[str, Any]:
        """Its `made.json`."""


S = TypeVar("S", bound=EvaluationStore)


def open_evaluations(folder: Path, evaluations: Iterable[Evaluation], read: Callable[[Path], S]) -> dict[str, S]:
    """The stores of these evaluations that lie below `folder`, by path, each opened by `read`; absent ones are left out.

    Raises ValueError for a store that is damaged, of another evaluation, or of other images than the first.
    """
    stores: dict[str, S] = {}
    for evaluation in evaluations:
        if (folder / evaluation.path).exists():
            store = stores[evaluation.path] = read(folder / evaluation.path)
            _check_evaluation(store, evaluation)
            _check_images(store, next(iter(stores.values())))
    return stores


def _check_evaluation(store: EvaluationStore, evaluation: Evaluation) -> None:
    expected = [evaluation.run.name, evaluation.protocol, evaluation.Q]
    got = [store.made.get(key) for key in ("run", "protocol", "Q")]
    if got != expected:
        raise ValueError(f"{store.folder}: holds the scores of {got}, expected {expected}: evaluate again")


def _check_images(store: EvaluationStore, first: EvaluationStore) -> None:
    if store.made.get("data") != first.made.get("data"):
        raise ValueError(f"{store.folder} and {first.folder} were made on different images: evaluate again")


@dataclass(frozen=True)
class TopLabels:
    """A store of every image's best labels, without posteriors: they decide errors, but no average can be taken of them."""

    folder: Path
    answers: NDArray[np.int64]
    """[N, K]: up to five labels, best first; -1 where there are fewer."""
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    made: dict[str, Any]
    boxes: NDArray[np.bool_] | None = None
    """[2, N]: whether an image is not localised, and whether it counts for localisation (is not blacklisted); None without
    boxes."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.made["classes"])

    def ranks(self) -> NDArray[np.int32]:
        """[N]: the true label's place among the answers; the number of classes, which is an error, where it is not there."""
        right = self.answers == self.labels[:, None]
        return np.where(right.any(1), right.argmax(1), self.classes).astype(np.int32)


def write_top_labels(folder: Path, found: TopLabels) -> None:
    """Write a store of labels atomically."""
    with atomic_folder(folder, "made.json") as root:
        np.save(root / "answers.npy", found.answers.astype(np.int64, copy=False))
        np.save(root / "labels.npy", found.labels.astype(np.int64, copy=False))
        if found.boxes is not None:
            np.save(root / "boxes.npy", found.boxes)
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in found.ids), encoding="utf-8")
        write_json(root / "made.json", found.made)


def read_scores_or_labels(folder: Path) -> Scores | TopLabels:
    """Open a store of posteriors, or one of labels alone; a ValueError that names it where it is missing or damaged."""
    if not (folder / "answers.npy").exists():
        return read_scores(folder)
    made = read_json(folder / "made.json", keys=("classes",))
    try:
        arrays = {name: np.load(folder / f"{name}.npy") for name in ("answers", "labels")}
        boxes = np.load(folder / "boxes.npy") if (folder / "boxes.npy").exists() else None
        ids = tuple((folder / "ids.txt").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: damaged labels ({error}): delete the folder and import them again") from None
    if not len(arrays["answers"]) == len(arrays["labels"]) == len(ids):
        raise ValueError(f"{folder}: its files do not fit together: delete the folder and import the labels again")
    return TopLabels(folder, **arrays, ids=ids, made=made, boxes=boxes)


Mixture = Mapping[str, Fraction]
"""Weights of stores in an average, by the store's key."""


def mixture_ranks(
    stores: Mapping[str, Scores | TopLabels], mixtures: Mapping[str, Mixture]
) -> dict[str, NDArray[np.int32]]:
    """Rank of the true class of every image, [N], under each weighted average of stores.

    PAPER 3.2, 4.2-4.4: scales, protocols and nets are all combined by averaging posteriors. Every store is read once for
    all mixtures, a chunk of images at a time; sums are in float64, so that rounding decides between no two classes.

    Raises ValueError where stores do not hold the same images in the same order, and for an average over labels alone.
    """
    answers = {key: store for key, store in stores.items() if isinstance(store, TopLabels)}
    listed = {name: answers[key].ranks() for name, (key, *_) in mixtures.items() if key in answers}
    for mixture in mixtures.values():
        if len(mixture) > 1 and (there := set(mixture) & set(answers)):
            raise ValueError(
                f"{answers[min(there)].folder}: the best labels alone are known, and no average can be taken of labels: "
                f"import posteriors, or leave it out of the fusion of {', '.join(mixture)}"
            )
    posteriors = {key: store for key, store in stores.items() if isinstance(store, Scores)}
    return listed | _ranks(posteriors, {name: mixture for name, mixture in mixtures.items() if name not in listed})


def _ranks(stores: Mapping[str, Scores], mixtures: Mapping[str, Mixture]) -> dict[str, NDArray[np.int32]]:
    if not mixtures:
        return {}
    first = same_images(stores)
    found = {name: np.empty(len(first), np.int32) for name in mixtures}
    # weights up to a common factor: whole numbers, so that equal weights are exactly equal
    whole = {name: _whole_weights(mixture) for name, mixture in mixtures.items()}
    for start in range(0, len(first), IMAGES_PER_CHUNK):
        part = slice(start, start + IMAGES_PER_CHUNK)
        loaded = {key: store.rows(part) for key, store in stores.items()}
        labels = first.labels[part]
        for name, weights in whole.items():
            found[name][part] = true_class_ranks(_mixed(loaded, weights), labels)
    return found


def best_labels(stores: Mapping[str, Scores], mixture: Mixture, count: int) -> NDArray[np.int64]:
    """The `count` best labels of every image, best first, [N, count], under a weighted average of stores.

    Of classes with equal posteriors the lower number comes first, as in `metrics.ranks`.
    """
    first, weights = same_images(stores), _whole_weights(mixture)
    found = np.empty((len(first), min(count, first.posteriors.shape[1])), np.int64)
    for start in range(0, len(first), IMAGES_PER_CHUNK):
        part = slice(start, start + IMAGES_PER_CHUNK)
        mixed = _mixed({key: stores[key].rows(part) for key in mixture}, weights)
        found[part] = np.argsort(-mixed, 1, kind="stable")[:, : found.shape[1]]
    return found


def _whole_weights(mixture: Mixture) -> list[tuple[str, int]]:
    smallest = min(mixture.values())
    shares = {key: weight / smallest for key, weight in mixture.items()}
    common = int(np.lcm.reduce([share.denominator for share in shares.values()]))
    return [(key, int(share * common)) for key, share in shares.items()]


def _mixed(loaded: Mapping[str, NDArray[np.float32]], weights: list[tuple[str, int]]) -> NDArray[np.floating]:
    (key, weight), *others = weights
    if not others:
        return loaded[key]
    total = np.multiply(loaded[key], weight, dtype=np.float64)
    for key, weight in others:
        total += loaded[key] if weight == 1 else np.multiply(loaded[key], weight, dtype=np.float64)
    return total


def same_images(stores: Mapping[str, Scores]) -> Scores:
    """The first of some stores; a ValueError where they do not hold the same images in the same order."""
    first, *others = stores.values()
    for other in others:
        if other.ids != first.ids or not np.array_equal(other.labels, first.labels):
            raise ValueError(
                f"{other.folder} and {first.folder} hold different images or labels: evaluate both on one data set"
            )
    return first
