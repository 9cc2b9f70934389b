"""Box stores: the boxes that a net predicts at every location of every image. Scales and nets are unions. No torch.

A store is a folder. Locations of all images follow one another; K labels of an image have a box each at every location:

boxes.npy      float32 [locations, K, 4]: in pixels of the original image, memory-mapped
scores.npy     float32 [locations, K]: posterior of the label in the location's window
offsets.npy    [N + 1]: where the locations of an image begin
answers.npy    [N, K]: the labels that the boxes are for
labels.npy     [N]: the true labels; sizes.npy [N, 2]: height and width; counted.npy [N]: not blacklisted
truth.npy      [M, 5]: number of the image, true box
ids.txt, made.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.files import atomic_folder, read_json, write_json
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data import boxes
from vggrepro.settings.blocks import MergeSettings

if TYPE_CHECKING:
    from vggrepro.data.store import Store

AGAIN = "predict the boxes again"
"""What to do about damaged boxes."""
ARRAYS = ("boxes", "scores", "offsets", "answers", "labels", "sizes", "counted", "truth")


@dataclass(frozen=True)
class BoxStore:
    """A box store, open for reading. See the module's text for the arrays."""

    folder: Path
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    offsets: NDArray[np.int64]
    answers: NDArray[np.int64]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counted: NDArray[np.bool_]
    truth: NDArray[np.int32]
    ids: tuple[str, ...]
    metadata: dict[str, Any]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.metadata["classes"])

    def of(self, i: int, k: int, top_k: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes [n, 4] and scores [n] for the `k`-th label of image `i`, from its `top_k` best locations."""
        here = slice(self.offsets[i], self.offsets[i + 1])
        found, scores = self.boxes[here, k], self.scores[here, k]
        if top_k is None or top_k >= len(scores):
            return found, scores
        best = np.sort(np.argsort(-scores, kind="stable")[:top_k])
        return found[best], scores[best]


def boxes_of_images(
    store: Store,
    found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    answers: NDArray[np.int64],
) -> BoxStore:
    """The predictions for the images of a prepared store: of each its boxes [locations, K, 4] and scores [locations, K].

    A ValueError for boxes or scores that are not finite.
    """
    for name, (box, score) in zip(store.ids, found, strict=True):
        if not (np.isfinite(box).all() and np.isfinite(score).all()):
            raise ValueError(f"the boxes of {name} are not finite: the net diverged, train it again")
    return BoxStore(
        Path(),
        boxes=np.concatenate([box for box, _ in found]),
        scores=np.concatenate([score for _, score in found]),
        offsets=np.cumsum([0, *(len(score) for _, score in found)]),
        answers=answers,
        labels=store.labels,
        sizes=store.sizes,
        counted=~store.blacklisted,
        truth=store.truth,
        ids=tuple(store.ids),
        metadata={},
    )


def write_boxes(folder: Path, found: BoxStore, made: Mapping[str, Any]) -> None:
    """Write a store atomically."""
    with atomic_folder(folder, "made.json") as root:
        for name in ARRAYS:
            np.save(root / f"{name}.npy", getattr(found, name))
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in found.ids), encoding="utf-8")
        write_json(root / "made.json", dict(made))


def read_boxes(folder: Path) -> BoxStore:
    """Open a store; a ValueError that names the folder where it is missing or damaged."""
    metadata = read_json(folder / "made.json")
    ids = read_ids(folder / "ids.txt", AGAIN)
    N = len(ids)
    answers = read_array(folder / "answers.npy", np.int64, (N, None), AGAIN)
    offsets = read_array(folder / "offsets.npy", np.int64, (N + 1,), AGAIN)
    locations, K = int(offsets[-1]), answers.shape[1]
    return BoxStore(
        folder,
        boxes=read_array(folder / "boxes.npy", np.float32, (locations, K, 4), AGAIN, mapped=True),
        scores=read_array(folder / "scores.npy", np.float32, (locations, K), AGAIN),
        offsets=offsets,
        answers=answers,
        labels=read_array(folder / "labels.npy", np.int64, (N,), AGAIN),
        sizes=read_array(folder / "sizes.npy", np.int64, (N, 2), AGAIN),
        counted=read_array(folder / "counted.npy", np.bool_, (N,), AGAIN),
        truth=read_array(folder / "truth.npy", np.int32, (None, 5), AGAIN),
        ids=ids,
        metadata=metadata,
    )


def check_same_boxes(stores: Sequence[BoxStore]) -> None:
    """A ValueError where stores do not hold the same labels of the same images in the same order."""
    first, *others = stores
    for other in others:
        if other.ids != first.ids or not all(
            np.array_equal(getattr(other, name), getattr(first, name)) for name in ("labels", "answers", "truth")
        ):
            raise ValueError(
                f"{other.folder} and {first.folder} hold different images, truth or labels: predict both again"
            )


def merged_label_boxes(
    stores: Sequence[BoxStore],
    settings: MergeSettings,
    *,
    thresholds: Sequence[float] = (),
    true_only: bool = False,
    workers: int = 1,
    about: str = "",
) -> NDArray[np.float64]:
    """The box of every label, [T, N, K, 4], of the union of some stores' boxes, merged (PAPER A.1) and cut at the edges.

    At each of the ascending `thresholds`, if not given at the settings' alone. `true_only` leaves NaN for labels that are
    not the image's: they decide no error.
    """
    from vggrepro.localisation.merging import best_boxes

    check_same_boxes(stores)
    first, steps = stores[0], np.array(thresholds or (settings.threshold,))
    n, labels = first.answers.shape
    found = np.full((len(steps), n, labels, 4), np.nan)

    def merge(i: int) -> None:
        for k in range(labels):
            if not true_only or first.answers[i, k] == first.labels[i]:
                parts = [store.of(i, k, settings.top_k) for store in stores]
                candidates, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
                merged = best_boxes(candidates, scores, settings, steps)
                found[:, i, k] = boxes.clip(merged, first.sizes[i])

    done = prefetch(merge, range(n), workers=workers, waiting=16 * workers)
    for _ in show_progress(done, total=n, about=about, unit="image"):
        pass
    return found


def missed_boxes(store: BoxStore, answers: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of the counted images are not localised, [..., counted], by the boxes [..., N, K, 4] of their labels.

    As the devkit judges: one of the labels is the true one, and its box overlaps any true box by at least one half.
    """
    right = store.answers == store.labels[:, None]
    guessed = right.any(1)
    guesses = np.where(guessed[:, None], answers[..., np.arange(len(store)), right.argmax(1), :], np.nan)
    image = store.truth[:, 0]
    with np.errstate(invalid="ignore"):
        passes = boxes.iou(guesses[..., image, :], store.truth[:, 1:]) >= boxes.OVERLAP
    localised = np.zeros((*guesses.shape[:-2], len(store)), bool)
    for index in np.ndindex(guesses.shape[:-2]):
        localised[index] = np.bincount(image, passes[index], len(store)) > 0
    return ~localised[..., store.counted]
