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

from vggrepro.core.arrays import read_array, read_ids, read_part
from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.core.records import typed_record
from vggrepro.data.boxes import clip
from vggrepro.settings.blocks import MergeSettings

if TYPE_CHECKING:
    from vggrepro.data.store import Store

ARRAY_FILES = {
    "boxes": "boxes.npy",
    "scores": "scores.npy",
    "offsets": "offsets.npy",
    "box_labels": "answers.npy",
    "labels": "labels.npy",
    "sizes": "sizes.npy",
    "counted": "counted.npy",
    "truth": "truth.npy",
}
"""The arrays of a store, and the files that hold them."""

ImageBoxes = tuple[NDArray[np.float32], NDArray[np.float32]]
"""The boxes [locations, K, 4] of one image, and their scores [locations, K]."""


@dataclass(frozen=True)
class BoxStore:
    """A box store, open for reading. See the module's text for the arrays."""

    folder: Path
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    offsets: NDArray[np.int64]
    box_labels: NDArray[np.int64]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counted: NDArray[np.bool_]
    truth: NDArray[np.int32]
    ids: tuple[str, ...]
    metadata: dict[str, Any]
    """`made.json`."""
    in_memory: bool = False
    """Whether there is no folder."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.metadata["classes"])

    def candidates(self, i: int, k: int, top_k: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes [n, 4] and scores [n] for the `k`-th label of image `i`, from its `top_k` best locations (None: all)."""
        locations = slice(self.offsets[i], self.offsets[i + 1])
        scores = self.scores[locations, k]
        stored = self.folder / ARRAY_FILES["boxes"]
        of_image = self.boxes[locations] if self.in_memory else read_part(stored, locations, PREDICT_AGAIN)
        boxes = of_image[:, k]
        if top_k is None or top_k >= len(scores):
            return boxes, scores
        best = np.sort(np.argsort(-scores, kind="stable")[:top_k])
        return boxes[best], scores[best]


def box_store_of(store: Store, predictions: Sequence[ImageBoxes], *, box_labels: NDArray[np.int64]) -> BoxStore:
    """The predictions for the images of a prepared store, for K labels [N, K], as a box store in memory.

    Raises ValueError for boxes or scores that are not finite.
    """
    for name, (boxes, scores) in zip(store.ids, predictions, strict=True):
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f"the boxes of {name} are not finite: the net diverged, train it again")
    return BoxStore(
        Path(),
        boxes=np.concatenate([boxes for boxes, _ in predictions]),
        scores=np.concatenate([scores for _, scores in predictions]),
        offsets=np.cumsum([0, *(len(scores) for _, scores in predictions)]),
        box_labels=box_labels,
        labels=store.labels,
        sizes=store.sizes,
        counted=~store.blacklisted,
        truth=store.truth,
        ids=tuple(store.ids),
        metadata={},
        in_memory=True,
    )


def write_boxes(folder: Path, store: BoxStore, metadata: Mapping[str, Any]) -> None:
    """Write a store atomically; `metadata` becomes its `made.json`."""
    with atomic_folder(folder, "made.json") as root:
        for name, file in ARRAY_FILES.items():
            np.save(root / file, getattr(store, name))
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in store.ids), encoding="utf-8")
        write_json(root / "made.json", dict(metadata))


def read_boxes(folder: Path) -> BoxStore:
    """Open a store; a ValueError that names the file where one is missing or damaged."""
    metadata, ids = typed_record(folder / "made.json", again=PREDICT_AGAIN), read_ids(folder / "ids.txt", PREDICT_AGAIN)
    N = len(ids)

    def read(name: str, dtype: type[np.generic], *shape: int | None, mapped: bool = False) -> NDArray[Any]:
        return read_array(folder / ARRAY_FILES[name], dtype, shape, PREDICT_AGAIN, mapped=mapped)

    box_labels, offsets = read("box_labels", np.int64, N, None), read("offsets", np.int64, N + 1)
    locations, K = int(offsets[-1]), box_labels.shape[1]
    return BoxStore(
        folder,
        boxes=read("boxes", np.float32, locations, K, 4, mapped=True),
        scores=read("scores", np.float32, locations, K),
        offsets=offsets,
        box_labels=box_labels,
        labels=read("labels", np.int64, N),
        sizes=read("sizes", np.int64, N, 2),
        counted=read("counted", np.bool_, N),
        truth=read("truth", np.int32, None, 5),
        ids=ids,
        metadata=metadata,
    )


PREDICT_AGAIN = "predict the boxes again"
"""What to do about damaged boxes."""


def check_same_images(stores: Sequence[BoxStore]) -> None:
    """A ValueError where stores do not hold boxes for the same labels of the same images in the same order."""
    first, *others = stores
    for other in others:
        if other.ids != first.ids or not all(
            np.array_equal(getattr(other, name), getattr(first, name)) for name in ("labels", "box_labels", "truth")
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
    """The box of every label, [T, N, K, 4], of the union of the stores' boxes, merged (PAPER A.1) and cut at the edges.

    At each of the T ascending `thresholds`; without them at the settings' alone. `true_only` leaves NaN for labels that are
    not the image's, because they decide no error.
    """
    from vggrepro.localisation.merging import best_boxes

    check_same_images(stores)
    first, steps = stores[0], np.array(thresholds or (settings.threshold,))
    images, labels = first.box_labels.shape
    boxes = np.full((len(steps), images, labels, 4), np.nan)

    def merge(i: int) -> None:
        for k in range(labels):
            if not true_only or first.box_labels[i, k] == first.labels[i]:
                candidates, scores = union_candidates(stores, i, k, settings.top_k)
                boxes[:, i, k] = clip(best_boxes(candidates, scores, settings, steps), first.sizes[i])

    done = prefetch(merge, range(images), workers=workers, waiting=16 * workers)
    for _ in show_progress(done, total=images, about=about, unit="image"):
        pass
    return boxes


def union_candidates(
    stores: Sequence[BoxStore], i: int, k: int, top_k: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes [n, 4] and scores [n] for the `k`-th label of image `i` from all stores, each store's `top_k` best locations."""
    boxes, scores = zip(*(store.candidates(i, k, top_k) for store in stores), strict=True)
    return np.concatenate(boxes), np.concatenate(scores)
