"""The labels of every image that boxes are predicted for: those of the best classification system (appendix A). No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.records import typed_record
from vggrepro.data.store import Store
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_classification
from vggrepro.scores.stores import best_labels, read_scores

LABELS = 5
"""Labels of an image that get a box: the error of localisation is a top-5 error."""
MAKE_AGAIN = "make the labels again"


def write_top5_labels(scores_folder: Path, *, seed: int, out: Path) -> None:
    """Write the best labels of every image: `answers.npy` [N, 5], best first, `ids.txt`, `made.json`.

    PAPER A.1: of "our best-performing classification system", fusion included.
    """
    mixture = {evaluation.path: share for evaluation, share in with_seed(best_classification(), seed)}
    stores = {path: read_scores(scores_folder / path) for path in mixture}
    first = next(iter(stores.values()))
    labels = best_labels(stores, mixture, LABELS)
    labelled_by = {path: stores[path].metadata.get("weights", "not recorded") for path in sorted(mixture)}
    with atomic_folder(out, "made.json") as root:
        np.save(root / "answers.npy", labels)
        (root / "ids.txt").write_text("".join(f"{name}\n" for name in first.ids), encoding="utf-8")
        about = {"system": sorted(mixture), "labelled by": labelled_by, "data": first.metadata["data"]}
        write_json(root / "made.json", about)


def read_top5_labels(folder: Path, store: Store) -> NDArray[np.int64]:
    """The labels [N, K] for the images of a prepared store; a ValueError for labels of other images, or damaged ones."""
    metadata = typed_record(folder / "made.json", ("data",), again=MAKE_AGAIN)
    if metadata["data"] != store.digest or read_ids(folder / "ids.txt", MAKE_AGAIN) != tuple(store.ids):
        raise ValueError(f"{folder}: labels of other images than those in {store.folder}: make them again")
    return read_array(folder / "answers.npy", np.int64, (len(store), None), MAKE_AGAIN)


def labelling_weights(folder: Path) -> dict[str, str]:
    """The digest of the weights behind each of the scores that labels are the best of; none of older labels, which lack it."""
    weights: dict[str, str] = typed_record(folder / "made.json", again=MAKE_AGAIN).get("labelled by", {})
    return weights
