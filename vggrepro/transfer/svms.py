"""Linear SVMs on features (appendix B). Features are stored; nothing here runs a net. No torch.

The result of a task is a folder: for every split `scores.npy` [n, classes] of the test images and `targets.npy` [n, classes]
(1, -1, or 0 for what does not count), and `made.json`. Precision and recall are counted from these.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.arrays import read_array
from vggrepro.core.files import atomic_folder, read_json, write_json, write_text
from vggrepro.data.collections import VOC, Actions, Caltech, Collection
from vggrepro.paper.tasks import TASKS, Task
from vggrepro.settings.blocks import TransferSettings
from vggrepro.transfer.average_precision import measure_of

DescriptorMatrix = NDArray[np.floating]


def open_collection(name: str, path: Path) -> VOC | Caltech:
    """The collection that a feature folder or a task is named after; a ValueError for a layout that is not its own."""
    if name.startswith("voc"):
        return VOC(path, name.removeprefix("voc"))
    if name.startswith("caltech"):
        return open_caltech(name, path)
    return Actions(path, boxes=name == "actions-box")


def open_caltech(name: str, path: Path) -> Caltech:
    """Caltech-101 or -256."""
    return Caltech(path, name.removeprefix("caltech"))


def unit_length(values: DescriptorMatrix) -> DescriptorMatrix:
    """Rows [N, D] of unit length; a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    scaled: DescriptorMatrix = values / np.maximum(length, np.finfo(np.float32).tiny)
    return scaled


def descriptor(features: Sequence[DescriptorMatrix], combine: str, normalise: str) -> DescriptorMatrix:
    """PAPER B: an image's features [N, fc] at several Q as one descriptor of unit length: averaged, or stacked."""
    rows = [unit_length(values) for values in features] if normalise == "before" else list(features)
    return unit_length(np.mean(rows, 0) if combine == "average" else np.concatenate(rows, 1))


def descriptors(
    folders: Sequence[Path], task: Task, collections: Mapping[str, Collection], normalise: str
) -> tuple[DescriptorMatrix, list[str]]:
    """The descriptors [N, D] of a task, float32: of every net (and of image and box) stacked, of unit length; and the nets.

    `folders` hold features: of the first collection for every net, then of the second. Raises ValueError where they are of
    other images than the collections, or not of the same nets.
    """
    parts, nets = [], []
    each = len(folders) // len(task.collections)
    for k, folder in enumerate(folders):
        name = task.collections[min(k // max(each, 1), len(task.collections) - 1)]
        made = read_json(folder / "made.json", ("run", "name", "data"))
        if (made["name"], made["data"]) != (name, collections[name].digest):
            raise ValueError(
                f"{folder}: features of other images than {name}: delete the folder and compute them again"
            )
        again = "compute the features again"
        features = [read_array(folder / f"{Q}.npy", np.float32, (None, None), again) for Q in task.scales]
        parts.append(descriptor(features, task.combine, normalise).astype(np.float32, copy=False))
        nets.append(made["run"])
    if nets != nets[:each] * len(task.collections):
        raise ValueError(
            f"--features: expected the same nets for {' and '.join(task.collections)}, got {', '.join(nets)}"
        )
    stacked = np.concatenate(parts, 1)
    stacked /= np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return stacked, nets[:each]


@dataclass(frozen=True)
class LinearClassifiers:
    """One linear classifier per class."""

    weights: DescriptorMatrix
    """[classes, D]."""
    biases: DescriptorMatrix
    """[classes]."""

    def scores(self, x: DescriptorMatrix) -> NDArray[np.float32]:
        """[N, classes]."""
        return np.asarray(x @ self.weights.T + self.biases, np.float32)


def fit_svms(
    x: DescriptorMatrix, targets: NDArray[np.int8], C: float, classes: Sequence[str], workers: int
) -> LinearClassifiers:
    """PAPER B: a linear SVM per class against the rest, on descriptors [n, D] and targets [n, classes]; 0 does not count.

    Raises ValueError for a class without an example, or without a counterexample.
    """
    for c, name in enumerate(classes):
        for label, what in ((1, "no image"), (-1, "nothing but images")):
            if not (targets[:, c] == label).any():
                raise ValueError(
                    f"among {len(targets)} training images there is {what} of class {name}: an SVM needs both"
                )
    from joblib import Parallel, delayed

    # where each image has one class, one call does all of them: LIBLINEAR takes its own copy of the data at every call
    single = targets.shape[1] > 2 and (targets != 0).all() and ((targets > 0).sum(1) == 1).all()
    columns = [targets.argmax(1)] if single else list(targets.T)
    # processes, not threads: LIBLINEAR has one random generator a process, and threads would draw from it in any order
    found = Parallel(n_jobs=min(workers, len(columns)))(delayed(_fit_one)(x, C, column, single) for column in columns)
    weights, biases = (np.concatenate(column) for column in zip(*found, strict=True))
    return LinearClassifiers(weights, biases)


ITERATIONS = 10_000
"""LIBLINEAR's passes over the data at the most."""


def _fit_one(
    x: DescriptorMatrix, C: float, target: NDArray[np.integer], single: bool
) -> tuple[DescriptorMatrix, DescriptorMatrix]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    counts = np.ones(len(target), bool) if single else target != 0
    kept = (x, target) if counts.all() else (x[counts], target[counts])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm = LinearSVC(C=C, dual="auto", random_state=0, max_iter=ITERATIONS).fit(*kept)
    if np.max(svm.n_iter_) >= ITERATIONS:
        raise ValueError(f"LIBLINEAR did not converge with C = {C:g}: leave so large a value out of transfer.C")
    return svm.coef_, np.atleast_1d(svm.intercept_)


def choose_cost(
    x: DescriptorMatrix,
    targets: NDArray[np.int8],
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
    classes: Sequence[str],
    measure: Any,  # noqa: ANN401
    costs: Sequence[float],
    workers: int,
) -> float:
    """The cost with the best measure on held-out training images; of equally good ones the smallest.

    Raises ValueError for a class that has no held-out image.
    """
    if len(costs) == 1:
        return costs[0]
    check_shown(targets[held_out], classes, "held-out training images")

    def quality(C: float) -> float:
        model = fit_svms(x[train], targets[train], C, classes, workers)
        return float(measure(model.scores(x[held_out]), targets[held_out]).mean())

    return max(sorted(costs), key=quality)


def check_shown(targets: NDArray[np.int8], classes: Sequence[str], what: str) -> None:
    """A ValueError for a class that none of some images shows: nothing could be said of it."""
    shown_by: list[bool] = np.any(targets > 0, axis=0).tolist()
    if missing := [name for name, shown in zip(classes, shown_by, strict=True) if not shown]:
        raise ValueError(f"none of the {len(targets)} {what} shows {', '.join(missing)}: more images of it are needed")


def part_held_out(
    targets: NDArray[np.int8], train: NDArray[np.int64], groups: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:
    """[train]: a share of the training images of every class, drawn with a fixed seed; at least one, and never its last.

    Pictures of one file go together (`groups` [N]): two persons in an image are not to be on both sides.
    """
    files, member = np.unique(groups[train], return_inverse=True)
    positive = np.zeros((len(files), targets.shape[1]), bool)
    np.logical_or.at(positive, member, targets[train] > 0)
    rng, drawn, left = np.random.default_rng(0), np.zeros(len(files), bool), positive.sum(0)
    for c in np.argsort(positive.sum(0), kind="stable"):
        mine = np.flatnonzero(positive[:, c])
        wanted = max(1, round(share * len(mine))) - int(drawn[mine].sum())
        for i in rng.permutation(mine[~drawn[mine]]):
            if wanted > 0 and (left[positive[i]] > 1).all():
                drawn[i], wanted, left = True, wanted - 1, left - positive[i]
    chosen: NDArray[np.bool_] = drawn[member]
    return chosen


def classify(
    task_name: str,
    path: Path,
    folders: Sequence[Path],
    settings: TransferSettings,
    *,
    splits: Sequence[Path],
    out: Path,
    workers: int,
) -> None:
    """Train and test the SVMs of a task on the features in `folders`, and write scores and targets of the test images.

    VOC-2007: C is chosen on its part val, then train and val together train, and test is measured. VOC-2012 and actions:
    train trains, with C chosen on a share of it, and val is measured; for the evaluation server train and val train.
    Caltech: for each of the files `splits` C is chosen on a share of its training images.
    """
    task = TASKS[task_name]
    collections = {name: open_collection(name, path) for name in task.collections}
    collection = collections[task.collections[0]]
    if isinstance(collection, Caltech) != bool(splits):
        raise ValueError(f"{task_name}: --splits are for Caltech, and needed there")
    x, nets = descriptors(folders, task, collections, settings.normalise)
    with atomic_folder(out, "made.json") as root:
        if isinstance(collection, Caltech):
            kind, part = "recall", "test"
            costs = [_split(x, collection, file, settings, root / str(k), workers) for k, file in enumerate(splits)]
        else:
            kind = settings.ap_2007 if task.data == "voc2007" else "area"
            part = "test" if collection.labelled("test") else "val"
            costs = [_voc(task_name, x, collection, kind, settings, root, workers)]
        made = {
            "task": task_name,
            "nets": nets,
            "collection": collection.title,
            "data": collection.digest,
            "classes": list(collection.classes),
            "counted": [name for name in collection.classes if task.counted == "all" or name != "other"],
            "measure": kind,
            "part": part,
            "C": costs,
            "C from": list(settings.C),
            "trained on": _trained_on(splits, collection),
            "submission": (root / "submission").exists(),
            "settings": settings.model_dump(mode="json", exclude=set(settings.paths)),
            "features": [read_json(folder / "made.json") for folder in folders],
            "made": provenance.provenance_record(),
        }
        write_json(root / "made.json", made)


def _trained_on(splits: Sequence[Path], collection: Collection) -> list[int]:
    """Caltech: how many images of a class trained, whichever numbers occur in the splits."""
    if not isinstance(collection, Caltech):
        return []
    parts = [read_split(file, collection) for file in splits]
    return sorted({int(count) for p in parts for count in np.bincount(collection.labels[p == 1])})


def _save(
    folder: Path, scores: DescriptorMatrix, collection: Collection, targets: NDArray[np.int8], which: Any
) -> None:
    """Scores and targets of the pictures `which` [n] of a collection."""
    check_shown(targets, collection.classes, "images that are measured")
    folder.mkdir()
    np.save(folder / "groups.npy", collection.groups[which])
    np.save(folder / "scores.npy", scores)
    np.save(folder / "targets.npy", targets)
    (folder / "ids.txt").write_text("".join(f"{collection.ids[i]}\n" for i in which), encoding="utf-8")


def _split(
    x: DescriptorMatrix, collection: Caltech, file: Path, settings: TransferSettings, out: Path, workers: int
) -> float:
    parts = read_split(file, collection)
    classes = len(collection.classes)
    targets = np.where(np.arange(classes) == collection.labels[:, None], 1, -1).astype(np.int8)
    train, test = np.flatnonzero(parts == 1), np.flatnonzero(parts == 2)
    drawn = part_held_out(targets, train, collection.groups, settings.held_out)
    C = choose_cost(
        x, targets, train[~drawn], train[drawn], collection.classes, measure_of("recall"), settings.C, workers
    )
    model = fit_svms(x[train], targets[train], C, collection.classes, workers)
    _save(out, model.scores(x[test]), collection, targets[test], test)
    return C


def _voc(
    task: str, x: DescriptorMatrix, collection: VOC, kind: str, settings: TransferSettings, out: Path, workers: int
) -> float:
    train, val, test = (collection.parts[part] for part in ("train", "val", "test"))
    both, targets, names = np.concatenate([train, val]), collection.labels, collection.classes
    choose = partial(
        choose_cost, x, targets, classes=names, measure=measure_of(kind), costs=settings.C, workers=workers
    )
    if collection.labelled("test"):
        C = choose(train=train, held_out=val)
        model, measured = fit_svms(x[both], targets[both], C, names, workers), test
    else:
        # val is what is measured: it must not choose
        drawn = part_held_out(targets, train, collection.groups, settings.held_out)
        C = choose(train=train[~drawn], held_out=train[drawn])
        model, measured = fit_svms(x[train], targets[train], C, names, workers), val
    _save(out / "0", model.scores(x[measured]), collection, targets[measured], measured)
    if not collection.labelled("test") and len(test):
        final = fit_svms(x[both], targets[both], C, names, workers)
        write_voc_submission(out / "submission", task, final.scores(x[test]), [collection.ids[i] for i in test], names)
    return C


def write_voc_submission(
    folder: Path, task: str, scores: DescriptorMatrix, ids: Sequence[str], classes: Sequence[str]
) -> None:
    """The files that VOC's evaluation server takes: a line per image (or person) and class, id and score.

    Competitions 2 and 10: trained on more than VOC's own images.
    """
    sub, stem = ("Main", "comp2_cls_test") if task == "voc2012" else ("Action", "comp10_action_test")
    (folder / sub).mkdir(parents=True)
    for c, name in enumerate(classes):
        lines = (f"{image} {score:.6f}\n" for image, score in zip(ids, scores[:, c], strict=True))
        (folder / sub / f"{stem}_{name}.txt").write_text("".join(lines), encoding="utf-8")


SPLIT_PARTS = ("unused", "train", "test")


def write_splits(collection: Caltech, settings: TransferSettings, out: Path) -> None:
    """Write the random splits of a Caltech set, `0.csv` and so on, so that anyone can repeat them: image, part."""
    size = collection.title.removeprefix("Caltech-")
    of_101 = settings.caltech101_train, settings.caltech101_test
    train, test = of_101 if size == "101" else (settings.caltech256_train, None)
    for k, parts in enumerate(collection.splits(settings.splits, train, test)):
        lines = (f"{image},{SPLIT_PARTS[part]}\n" for image, part in zip(collection.ids, parts, strict=True))
        write_text(out / f"{k}.csv", "image,part\n" + "".join(lines))


def read_split(path: Path, collection: Caltech) -> NDArray[np.int8]:
    """[N]: 1 for training images, 2 for test images.

    Raises ValueError for a file of other images, and for a class without images to train or to test.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row.get("image"), row.get("part")) for row in csv.DictReader(file)]
    if [image for image, _ in rows] != collection.ids or not {part for _, part in rows} <= set(SPLIT_PARTS):
        raise ValueError(
            f"{path}: expected image,part for every image of {collection.title} in {collection.files.path}, in their order, "
            f"and each part one of {', '.join(SPLIT_PARTS)}"
        )
    parts = np.array([SPLIT_PARTS.index(str(part)) for _, part in rows], np.int8)
    for part in (1, 2):
        counts = np.bincount(collection.labels[parts == part], minlength=len(collection.classes))
        if not counts.all():
            raise ValueError(
                f"{path}: class {collection.classes[int(counts.argmin())]} has no {SPLIT_PARTS[part]} image"
            )
    return parts
