"""Classification and localisation errors as ILSVRC's devkit counts them, of its own format and of box stores. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vggrepro.data.boxes import OVERLAP, BoxArray, iou
from vggrepro.data.devkit import MAX_GUESSES, Guess, Truth
from vggrepro.localisation.stores import BoxStore, merged_label_boxes
from vggrepro.paper.systems import System, seeded_mixtures
from vggrepro.scores.outcomes import Errors, ids_digest
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.settings.blocks import MergeSettings


@dataclass(frozen=True)
class ErrorCounts:
    """Counts of errors, and of the images that they are shares of."""

    images: int
    top1: int
    top5: int
    localisation: int | None
    """Images without a right box; None for guesses without boxes."""
    localisation_images: int
    """Images that are not blacklisted."""
    labels: int = MAX_GUESSES
    """The most labels of any guess; fewer than five (or all classes) are too few to know the top-5 error."""

    def counts(self) -> dict[str, tuple[int, int]]:
        """Errors and images by quantity, as tables name them."""
        counts = {"top-1": (self.top1, self.images)}
        if self.labels >= MAX_GUESSES:
            counts["top-5"] = (self.top5, self.images)
        if self.localisation is not None:
            counts["localisation"] = (self.localisation, self.localisation_images)
        return counts


def count_errors(truth: Truth, guesses: list[Guess]) -> ErrorCounts:
    """Classification and localisation errors, as the official devkit counts them.

    Every image counts for classification; a blacklisted one does not count for localisation. What guesses may be is stricter
    than in the devkit (see `read_guesses`), which drops a sixth label silently and takes boxes that are upside down. Raises
    ValueError unless there is a guess per image.
    """
    if len(guesses) != len(truth.labels):
        raise ValueError(f"{len(guesses)} guesses for {len(truth.labels)} images: expected one per image")
    ranks = np.array([_rank(g.labels, int(label)) for g, label in zip(guesses, truth.labels, strict=True)])
    top1, top5 = (int(wrong_images(ranks, name).sum()) for name in TOP)
    labels = max((len(set(g.labels)) for g in guesses), default=0)
    labels = MAX_GUESSES if labels == len(truth.wnids) else labels
    localisation = missed_guesses(truth, guesses)
    count = None if localisation is None else int(localisation.sum())
    return ErrorCounts(len(guesses), top1, top5, count, int((~truth.blacklisted).sum()), labels)


def missed_guesses(truth: Truth, guesses: list[Guess]) -> NDArray[np.bool_] | None:
    """Which of the images that are not blacklisted are not localised, [counted]; None for guesses without boxes."""
    missed = []
    for i in np.flatnonzero(~truth.blacklisted):
        if (guess := guesses[i]).boxes is None:
            return None
        missed.append(not is_localised(guess.labels, guess.boxes, int(truth.labels[i]), truth.boxes[i]))
    return np.array(missed, bool)


def is_localised(labels: Sequence[int], guesses: BoxArray, true_label: int, truth: BoxArray) -> bool:
    """Whether one of up to five guesses has the right label and a box that overlaps any true box of it enough.

    `labels` and `guesses` [G, 4] belong together, best first; `truth` [T, 4] are the true boxes of `true_label`. An image
    without a true box cannot be localised.
    """
    right = [i for i, label in enumerate(labels[:MAX_GUESSES]) if label == true_label]
    if not right or not len(truth):
        return False
    return bool((iou(np.asarray(guesses)[right][:, None], np.asarray(truth)[None]) >= OVERLAP).any())


def _rank(labels: tuple[int, ...], true_label: int) -> int:
    return labels.index(true_label) if true_label in labels else MAX_GUESSES


def missed_images(store: BoxStore, label_boxes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of the counted images are not localised, [..., counted], by one box [..., N, K, 4] for each of the store's labels.

    An image is localised if its true class is among the labels, and the box of that label overlaps any true box by at least
    one half.
    """
    is_true = store.box_labels == store.labels[:, None]
    has_true = is_true.any(1)
    boxes = np.where(has_true[:, None], label_boxes[..., np.arange(len(store)), is_true.argmax(1), :], np.nan)
    image = store.truth[:, 0]
    with np.errstate(invalid="ignore"):
        overlaps = iou(boxes[..., image, :], store.truth[:, 1:]) >= OVERLAP
    localised = np.zeros((*boxes.shape[:-2], len(store)), bool)
    for index in np.ndindex(boxes.shape[:-2]):
        localised[index] = np.bincount(image, overlaps[index], len(store)) > 0
    return ~localised[..., store.counted]


def localisation_errors(
    systems: Iterable[System],
    seeds: Sequence[int],
    stores: Mapping[str, BoxStore],
    merge_of: Callable[[System], MergeSettings],
    workers: int,
) -> dict[System, dict[str, Errors]]:
    """Which images each system does not localise, for every seed: of systems whose `stores`, by path, are all there.

    The boxes of a system's stores are pooled and merged; `merge_of` says how.
    """
    mixtures, errors = seeded_mixtures(systems, seeds, stores), {}
    for system in dict.fromkeys(system for system, _ in mixtures):
        unions = [{path: stores[path] for path in mixtures[system, seed]} for seed in seeds]
        missed = [_missed(union, merge_of(system), workers) for union in unions]
        first = next(iter(unions[0].values()))
        images = ids_digest(np.array(first.ids)[first.counted].tolist())
        sources = tuple(member.path for member, _ in system)
        errors[system] = {"localisation": Errors(np.stack(missed), images, sources)}
    return errors


def _missed(stores: Mapping[str, BoxStore], merge: MergeSettings, workers: int) -> NDArray[np.bool_]:
    """Which of the counted images the merged union of some stores' boxes does not localise, [counted]."""
    union = list(stores.values())
    boxes = merged_label_boxes(union, merge, true_only=True, workers=workers, about=", ".join(stores))
    missed: NDArray[np.bool_] = missed_images(union[0], boxes)[0]
    return missed
