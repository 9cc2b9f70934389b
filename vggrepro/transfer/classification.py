"""A task of appendix B, from stored features to the scores of its test images. No net runs here, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.files import atomic_folder, write_json
from vggrepro.core.records import typed_record
from vggrepro.data.collections import VOC, Caltech, Collection, open_collection
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.blocks import TransferSettings
from vggrepro.transfer.average_precision import ScoreMatrix, TargetMatrix, measure_of
from vggrepro.transfer.descriptors import DescriptorMatrix, task_descriptors
from vggrepro.transfer.results import write_split_scores
from vggrepro.transfer.splits import held_out_images, read_split
from vggrepro.transfer.svms import LinearClassifiers, check_examples, choose_cost, fit_svms

ImageNumbers = NDArray[np.int64]
"""[n]: places of images in a collection."""


@dataclass(frozen=True)
class _Problem:
    """The descriptors and targets of a collection, and how SVMs are trained and measured on them."""

    collection: Collection
    descriptors: DescriptorMatrix
    targets: TargetMatrix
    kind: str
    """`11-point`, `area` or `recall`."""
    settings: TransferSettings
    workers: int

    def fit(self, train: ImageNumbers, C: float) -> LinearClassifiers:
        """SVMs of all classes, trained on these images."""
        return fit_svms(
            self.descriptors[train], self.targets[train], C=C, classes=self.collection.classes, workers=self.workers
        )

    def choose_cost(self, train: ImageNumbers, held_out: ImageNumbers | None = None) -> float:
        """The best C on the held-out images; without them on a share of the training images."""
        if held_out is None:
            drawn = held_out_images(
                self.targets, train=train, groups=self.collection.groups, share=self.settings.held_out
            )
            train, held_out = train[~drawn], train[drawn]
        return choose_cost(
            self.descriptors,
            self.targets,
            train=train,
            held_out=held_out,
            classes=self.collection.classes,
            measure=measure_of(self.kind),
            costs=self.settings.C,
            workers=self.workers,
        )

    def write_scores(self, folder: Path, svms: LinearClassifiers, test: ImageNumbers) -> None:
        """Write the scores of the test images; a ValueError for a class that none of them shows."""
        targets = self.targets[test]
        check_examples(targets, self.collection.classes, "images that are measured")
        scores = svms.scores(self.descriptors[test])
        write_split_scores(folder, scores, targets, collection=self.collection, images=test)


OF_FEATURES = ("run", "name", "weights", "data", "scales")
"""What the record of features has to say for a result of SVMs on them."""


def classify_task(
    task_name: str,
    *,
    path: Path,
    features: Sequence[Path],
    splits: Sequence[Path],
    settings: TransferSettings,
    out: Path,
    workers: int,
) -> None:
    """Train and test the SVMs of a task on stored features, and write the result (`results.py`) to the folder `out`.

    `path` is the data set; `features` are folders of features, `splits` files of splits (Caltech alone).

    VOC-2007: C is chosen on its part val, then train and val together train, and test is measured. VOC-2012 and actions:
    train trains, with C chosen on a share of it, and val is measured; for the evaluation server train and val train.
    Caltech: for each split C is chosen on a share of its training images.
    """
    task = TASKS[task_name]
    collections = {name: open_collection(name, path) for name in task.collections}
    collection = collections[task.collections[0]]
    if isinstance(collection, Caltech) != bool(splits):
        raise ValueError(f"{task_name}: --splits are for Caltech, and needed there")
    descriptors, nets = task_descriptors(features, task=task, collections=collections, normalise=settings.normalise)
    with atomic_folder(out, "made.json") as root:
        if isinstance(collection, Caltech):
            metadata = _classify_caltech(collection, descriptors, splits, settings, root, workers)
        else:
            kind = settings.ap_2007 if task.data == "voc2007" else "area"
            problem = _Problem(collection, descriptors, collection.labels, kind, settings, workers)
            metadata = _classify_voc(problem, collection, task_name, root)
        metadata |= {
            "task": task_name,
            "nets": nets,
            "collection": collection.title,
            "data": collection.digest,
            "classes": list(collection.classes),
            "counted": [name for name in collection.classes if task.counted == "all" or name != "other"],
            "C from": list(settings.C),
            "submission": (root / "submission").exists(),
            "settings": settings.model_dump(mode="json", exclude=set(settings.paths)),
            "features": [typed_record(folder / "made.json", OF_FEATURES) for folder in features],
            "made": provenance.provenance_record(),
        }
        write_json(root / "made.json", metadata)


def _classify_caltech(
    collection: Caltech,
    descriptors: DescriptorMatrix,
    splits: Sequence[Path],
    settings: TransferSettings,
    out: Path,
    workers: int,
) -> dict[str, Any]:
    """Write the scores of every split; what `made.json` says of the measure and of training."""
    of_class = np.arange(len(collection.classes)) == collection.labels[:, None]
    targets = np.where(of_class, 1, -1).astype(np.int8)
    problem = _Problem(collection, descriptors, targets, "recall", settings, workers)
    costs, trained = [], set()
    for k, file in enumerate(splits):
        parts = read_split(file, collection)
        train, test = np.flatnonzero(parts == 1), np.flatnonzero(parts == 2)
        costs.append(problem.choose_cost(train))
        problem.write_scores(out / str(k), problem.fit(train, costs[-1]), test)
        trained |= set(np.bincount(collection.labels[train]).tolist())
    # images of a class that trained: whichever numbers occur
    return {"measure": "recall", "part": "test", "C": costs, "trained on": sorted(trained)}


def _classify_voc(problem: _Problem, collection: VOC, task_name: str, out: Path) -> dict[str, Any]:
    """Write the scores of the part that is measured; what `made.json` says of the measure and of training."""
    train, val, test = (collection.parts[part] for part in ("train", "val", "test"))
    both = np.concatenate([train, val])
    if collection.labelled("test"):
        part, C = "test", problem.choose_cost(train, held_out=val)
        problem.write_scores(out / "0", problem.fit(both, C), test)
    else:
        # val is measured, so that it must not choose C
        part, C = "val", problem.choose_cost(train)
        problem.write_scores(out / "0", problem.fit(train, C), val)
        if len(test):
            scores = problem.fit(both, C).scores(problem.descriptors[test])
            ids = [collection.ids[i] for i in test]
            write_voc_submission(out / "submission", scores, task_name=task_name, ids=ids, classes=collection.classes)
    return {"measure": problem.kind, "part": part, "C": [C], "trained on": []}


def write_voc_submission(
    folder: Path, scores: ScoreMatrix, *, task_name: str, ids: Sequence[str], classes: Sequence[str]
) -> None:
    """Write the files that VOC's evaluation server takes: a line per image (or person) and class, id and score.

    Competitions 2 and 10: trained on more than VOC's own images.
    """
    sub, stem = ("Main", "comp2_cls_test") if task_name == "voc2012" else ("Action", "comp10_action_test")
    (folder / sub).mkdir(parents=True)
    for c, name in enumerate(classes):
        lines = (f"{image} {score:.6f}\n" for image, score in zip(ids, scores[:, c], strict=True))
        (folder / sub / f"{stem}_{name}.txt").write_text("".join(lines), encoding="utf-8")
