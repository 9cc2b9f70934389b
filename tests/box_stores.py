"""Box stores with made-up boxes: what several rooms test with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vggrepro.data.store import Store
from vggrepro.localisation.stores import BoxStore, box_store_of, write_boxes
from vggrepro.paper.systems import Evaluation
from vggrepro.paper.tables import table_evaluations, table_numbers


def five_labels(images: int) -> np.ndarray:
    """Five of ten labels for each image, drawn at random."""
    return np.stack([np.random.default_rng(i).permutation(10)[:5] for i in range(images)])


def random_boxes(val: Store, seed: int, locations: int = 12) -> BoxStore:
    """Boxes near the true ones and elsewhere, for five labels, among which the true one is not always."""
    rng = np.random.default_rng(seed)
    predictions = []
    for i in range(len(val)):
        n = int(rng.integers(1, locations))
        corners = val.boxes(i)[0] + rng.normal(0, 6, (n, 5, 4))
        low, high = np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])
        boxes = np.concatenate([low, high], -1).astype(np.float32)
        predictions.append((boxes, rng.random((n, 5)).astype(np.float32)))
    return box_store_of(val, predictions, box_labels=five_labels(len(val)))


def evaluation_boxes(val: Store, e: Evaluation) -> BoxStore:
    """Boxes near the true ones: for the true label (centre crop), or for five labels, the true one mostly among them."""
    rng = np.random.default_rng([e.Q, e.run.seed, len(e.run.name)])
    true = val.labels[:, None]
    labels = true if e.protocol == "centre-crop" else (five_labels(len(val)) + true - np.arange(len(val))[:, None]) % 10
    predictions = []
    for i in range(len(val)):
        shape = (1 if e.protocol == "centre-crop" else int(rng.integers(2, 9)), labels.shape[1], 4)
        corners = (val.boxes(i)[0] + rng.normal(0, 14, shape)).reshape(*shape[:2], 2, 2)
        boxes = np.sort(corners, 2).reshape(shape).astype(np.float32)
        predictions.append((boxes, rng.random(shape[:2]).astype(np.float32)))
    return box_store_of(val, predictions, box_labels=labels)


def write_all_boxes(folder: Path, val: Store) -> None:
    """The box stores of every evaluation of Tables 8 to 10, with two seeds."""
    for e in dict.fromkeys(e for number in table_numbers("boxes") for e in table_evaluations(number, (0, 1))):
        metadata = {"run": e.run.name, "protocol": e.protocol, "Q": e.Q, "data": val.digest}
        metadata |= {"data set": "made up", "classes": val.classes}
        write_boxes(folder / e.path, evaluation_boxes(val, e), metadata)
