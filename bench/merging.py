"""Merging of boxes as for ILSVRC: 5 labels x 150 locations x 3 scales of every image.

    python bench/merging.py

For all five labels (a submission) and for the true label alone (Tables 9 and 10), images/s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from harness import in_turn, row, write

from vggrepro.localisation.stores import BoxStore, merged_label_boxes
from vggrepro.settings.blocks import MergeSettings

IMAGES, LOCATIONS, LABELS, SCALES = 1_000, 150, 5, 3


def made_up(seed: int) -> BoxStore:
    """Boxes around an object per label, as scattered as those of a net that half knows where it is."""
    rng = np.random.default_rng(seed)
    objects = np.random.default_rng(0)
    middle, side = objects.uniform(100, 400, (IMAGES, 1, LABELS, 2)), objects.uniform(60, 250, (IMAGES, 1, LABELS, 2))
    middle = middle + rng.normal(0, 40, (IMAGES, LOCATIONS, LABELS, 2))
    side = side * np.exp(rng.normal(0, 0.2, middle.shape))
    boxes = np.concatenate([middle - side / 2, middle + side / 2], -1).astype(np.float32)
    return BoxStore(
        Path(),
        boxes=boxes.reshape(-1, LABELS, 4),
        scores=rng.random((IMAGES * LOCATIONS, LABELS)).astype(np.float32),
        offsets=np.arange(IMAGES + 1) * LOCATIONS,
        box_labels=np.tile(np.arange(LABELS), (IMAGES, 1)),
        labels=np.zeros(IMAGES, np.int64),
        sizes=np.full((IMAGES, 2), 500),
        counted=np.ones(IMAGES, bool),
        truth=np.array([(i, 10, 10, 300, 300) for i in range(IMAGES)], np.int32),
        ids=tuple(map(str, range(IMAGES))),
        metadata={},
    )


def main() -> None:
    """Measure with one worker and with two, after a first turn that compiles."""
    stores, rows = [made_up(seed) for seed in range(SCALES)], []
    for workers in (1, 2):
        for labels, true_only in (("all five labels", False), ("the true label", True)):

            def merge(workers: int = workers, true_only: bool = true_only) -> float:
                merged_label_boxes(stores, MergeSettings(), true_only=true_only, workers=workers)
                return IMAGES

            rows.append(row(f"{labels}, {workers} core{'s' * (workers > 1)}", "images/s", in_turn({"ours": merge})))
    write("merging", {"title": f"Merging boxes of {LOCATIONS} places at {SCALES} scales", "ours": "vggrepro"}, rows)


if __name__ == "__main__":
    main()
