"""Linear SVMs on features (appendix B). Features are stored; nothing here runs a net. No torch.

The result of a task is a folder: for every split `scores.npy` [n, classes] of the test images and `targets.npy` [n, classes]
(1, -1, or 0 for what does not count), and `made.json`. Precision and recall are counted from these.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro import provenance
from vggrepro.catalogue import TASKS, Task
from vggrepro.config import Transfer
from vggrepro.data.collections import VOC, Actions, Caltech, Collection
from vggrepro.files import atomic_folder, read_json, write_json
from vggrepro.metrics import average_precision

Matrix = NDArray[np.floating]


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


def unit(values: Matrix) -> Matrix:
    """Rows [N, D] of unit length; a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    scaled: Matrix = values / np.maximum(length, np.finfo(np.float32).tiny)
    return scaled


def descriptor(features: Sequence[Matrix], combine: str, normalise: str) -> Matrix:
    """PAPER B: an image's features [N, fc] at several Q as one descriptor of unit length: averaged, or stacked."""
    rows = [unit(values) for values in features] if normalise == "before" else list(features)
    return unit(np.mean(rows, 0) if combine == "average" else np.concatenate(rows, 1))


def descriptors(folders: Sequence[Path], task: Task, ids: Sequence[str], data: str, normalise: str) -> Matrix:
    """The descriptors [N, D] of a task, float32: of every net (and of image and box) stacked, of unit length.

    `folders` hold features. Raises ValueError where they are of other images than `ids` and the digest `data`.
    """
    parts = []
    for folder in folders:
        made = read_json(folder / "made.json", ("data", "scales"))
        if made["data"] != data or (folder / "ids.txt").read_text(encoding="utf-8").splitlines() != list(ids):
            raise ValueError(f"{folder}: features of other images: delete the folder and compute them again")
        try:
            found = [np.load(folder / f"{Q}.npy") for Q in task.scales]
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"{folder}: damaged features ({error}): delete the folder and compute them again"
            ) from None
        parts.append(descriptor(found, task.combine, normalise))
    return unit(np.concatenate(parts, 1)).astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """One linear classifier per class."""

    weights: Matrix
    """[classes, D]."""
    biases: Matrix
    """[classes]."""

    def scores(self, x: Matrix) -> NDArray[np.float32]:
        """[N, classes]."""
        return np.asarray(x @ self.weights.T + self.biases, np.float32)


def fit(x: Matrix, targets: NDArray[np.int8], C: float, classes: Sequence[str], workers: int) -> Linear:
    """PAPER B: a linear SVM per class against the rest, on descriptors [n, D] and targets [n, classes]; 0 does not count.

    Raises ValueError for a class without an example, or without a counterexample.
    """
    for c, name in enumerate(classes):
        for label, what in ((1, "no image"), (-1, "nothing but images")):
            if not (targets[:, c] == label).any():
                raise ValueError(
                    f"among {len(targets)} training images there is {what} of class {name}: an SVM needs both"
                )
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(partial(_fit_one, x, C), targets.T))
    return Linear(np.stack([weights for weights, _ in found]), np.array([bias for _, bias in found]))


def _fit_one(x: Matrix, C: float, target: NDArray[np.int8]) -> tuple[Matrix, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    counts = target != 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            svm = LinearSVC(C=C, random_state=0, max_iter=10_000).fit(x[counts], target[counts])
        except ConvergenceWarning:
            raise ValueError(
                f"LIBLINEAR did not converge with C = {C:g}: leave so large a value out of transfer.C"
            ) from None
    return svm.coef_[0], float(svm.intercept_[0])


def choose_cost(
    x: Matrix,
    targets: NDArray[np.int8],
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
    classes: Sequence[str],
    measure: Any,  # noqa: ANN401
    costs: Sequence[float],
    workers: int,
) -> float:
    """The cost with the best measure on held-out training images; of equally good ones the smallest."""
    if len(costs) == 1:
        return costs[0]

    def quality(C: float) -> float:
        model = fit(x[train], targets[train], C, classes, workers)
        return float(measure(model.scores(x[held_out]), targets[held_out]).mean())

    return max(sorted(costs), key=quality)


def precisions(scores: Matrix, targets: NDArray[np.int8], kind: str) -> Matrix:
    """Average precision of every class, [classes]; images with target 0 ("difficult") are left out."""
    return np.array(
        [average_precision(s[t != 0], t[t != 0] > 0, kind) for s, t in zip(scores.T, targets.T, strict=True)]
    )


def recalls(scores: Matrix, targets: NDArray[np.int8]) -> Matrix:
    """PAPER B: of each class the share of its images [classes] that are given that class."""
    truth, answers = targets.argmax(1), scores.argmax(1)
    right = np.bincount(truth[truth == answers], minlength=targets.shape[1])
    return right / np.bincount(truth, minlength=targets.shape[1])


def measure(kind: str) -> Any:  # noqa: ANN401
    """The function of scores and targets that a task is measured by: `11-point`, `area` or `recall`."""
    return recalls if kind == "recall" else partial(precisions, kind=kind)


def _part_held_out(targets: NDArray[np.int8], train: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """[train]: a share of the training images of every class, drawn with a fixed seed; at least one, and never all.

    An image of several classes is drawn for the rarest of them that it shows.
    """
    rng, drawn = np.random.default_rng(0), np.zeros(len(train), bool)
    positive = targets[train] > 0
    for c in np.argsort(positive.sum(0), kind="stable"):
        mine = np.flatnonzero(positive[:, c])
        wanted = max(1, round(share * len(mine))) - int(drawn[mine].sum())
        free = rng.permutation(mine[~drawn[mine]])
        drawn[free[: max(0, min(wanted, len(free) - 1))]] = True
    return drawn


def classify(
    task_name: str,
    collection: VOC | Caltech,
    folders: Sequence[Path],
    settings: Transfer,
    *,
    splits: Path | None,
    out: Path,
    workers: int,
) -> None:
    """Train and test the SVMs of a task on the features in `folders`, and write scores and targets of the test images.

    VOC-2007: C is chosen on its part val, then train and val together train, and test is measured. VOC-2012 and actions:
    train trains, with C chosen on a share of it, and val is measured; for the evaluation server train and val train.
    Caltech: for each split C is chosen on a share of its training images.
    """
    task = TASKS[task_name]
    files: list[Path] = []
    if isinstance(collection, Caltech):
        if splits is None:
            raise ValueError(f"{task_name}: give the folder of the random splits with --splits")
        files = [splits / f"{k}.csv" for k in range(read_json(splits / "made.json", ("splits",))["splits"])]
    x = descriptors(folders, task, collection.ids, collection.digest, settings.normalise)
    with atomic_folder(out, "made.json") as root:
        if isinstance(collection, Caltech):
            kind, part = "recall", "test"
            costs = [_split(x, collection, file, settings, root / str(k), workers) for k, file in enumerate(files)]
        else:
            kind = settings.ap_2007 if task.data == "voc2007" else "area"
            part = "test" if collection.labelled("test") else "val"
            costs = [_voc(task_name, x, collection, kind, settings, root, workers)]
        counted = [name for name in collection.classes if task.counted == "all" or name != "other"]
        made = {
            "task": task_name,
            "collection": collection.title,
            "data": collection.digest,
            "classes": list(collection.classes),
            "counted": counted,
            "measure": kind,
            "part": part,
            "C": costs,
            "settings": settings.model_dump(mode="json", exclude=set(settings.paths)),
            "features": [read_json(folder / "made.json") for folder in folders],
            "made": provenance.made(),
        }
        write_json(root / "made.json", made)


def _save(folder: Path, scores: Matrix, targets: NDArray[np.int8], ids: Sequence[str]) -> None:
    folder.mkdir()
    np.save(folder / "scores.npy", scores)
    np.save(folder / "targets.npy", targets)
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")


def _split(x: Matrix, collection: Caltech, file: Path, settings: Transfer, out: Path, workers: int) -> float:
    parts = read_split(file, collection)
    classes = len(collection.classes)
    targets = np.where(np.arange(classes) == collection.labels[:, None], 1, -1).astype(np.int8)
    train, test = np.flatnonzero(parts == 1), np.flatnonzero(parts == 2)
    drawn = _part_held_out(targets, train, settings.held_out)
    C = choose_cost(x, targets, train[~drawn], train[drawn], collection.classes, measure("recall"), settings.C, workers)
    model = fit(x[train], targets[train], C, collection.classes, workers)
    _save(out, model.scores(x[test]), targets[test], [collection.ids[i] for i in test])
    return C


def _voc(task: str, x: Matrix, collection: VOC, kind: str, settings: Transfer, out: Path, workers: int) -> float:
    train, val, test = (collection.parts[part] for part in ("train", "val", "test"))
    both, targets, names = np.concatenate([train, val]), collection.labels, collection.classes
    choose = partial(choose_cost, x, targets, classes=names, measure=measure(kind), costs=settings.C, workers=workers)
    if collection.labelled("test"):
        C = choose(train=train, held_out=val)
        model, measured = fit(x[both], targets[both], C, names, workers), test
    else:
        # val is what is measured: it must not choose
        drawn = _part_held_out(targets, train, settings.held_out)
        C = choose(train=train[~drawn], held_out=train[drawn])
        model, measured = fit(x[train], targets[train], C, names, workers), val
    _save(out / "0", model.scores(x[measured]), targets[measured], [collection.ids[i] for i in measured])
    if not collection.labelled("test") and len(test):
        final = fit(x[both], targets[both], C, names, workers)
        write_submission(out / "submission", task, final.scores(x[test]), [collection.ids[i] for i in test], names)
    return C


def write_submission(folder: Path, task: str, scores: Matrix, ids: Sequence[str], classes: Sequence[str]) -> None:
    """The files that VOC's evaluation server takes: a line per image (or person) and class, id and score.

    Competitions 2 and 10: trained on more than VOC's own images.
    """
    sub, stem = ("Main", "comp2_cls_test") if task == "voc2012" else ("Action", "comp10_action_test")
    (folder / sub).mkdir(parents=True)
    for c, name in enumerate(classes):
        lines = (f"{image} {score:.6f}\n" for image, score in zip(ids, scores[:, c], strict=True))
        (folder / sub / f"{stem}_{name}.txt").write_text("".join(lines), encoding="utf-8")


PARTS = ("unused", "train", "test")


def write_splits(collection: Caltech, settings: Transfer, out: Path) -> None:
    """Write the random splits of a Caltech set, a file each, so that anyone can repeat them: image, part."""
    size = collection.title.removeprefix("Caltech-")
    train, test = (
        (settings.caltech101_train, settings.caltech101_test) if size == "101" else (settings.caltech256_train, None)
    )
    with atomic_folder(out, "made.json") as root:
        for k, parts in enumerate(collection.splits(settings.splits, train, test)):
            with (root / f"{k}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["image", "part"])
                writer.writerows(zip(collection.ids, (PARTS[part] for part in parts), strict=True))
        write_json(
            root / "made.json", {"collection": collection.title, "data": collection.digest, "splits": settings.splits}
        )


def read_split(path: Path, collection: Collection) -> NDArray[np.int8]:
    """[N]: 1 for training images, 2 for test images; a ValueError for a file of other images."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["image"]: row["part"] for row in csv.DictReader(file)}
    if list(rows) != collection.ids or not set(rows.values()) <= set(PARTS):
        raise ValueError(
            f"{path}: not a split of {collection.title} as it lies in {collection.files.path}: write it again"
        )
    return np.array([PARTS.index(part) for part in rows.values()], np.int8)


@dataclass(frozen=True)
class Result:
    """What came of a task with some nets, as it is read back."""

    folder: Path
    made: dict[str, Any]
    scores: tuple[NDArray[np.float32], ...]
    """For every split [n, classes]."""
    targets: tuple[NDArray[np.int8], ...]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """[classes]: whether a class has part in the mean."""
        return np.isin(self.made["classes"], self.made["counted"])

    def values(self, split: int, chosen: NDArray[np.int64] | slice = slice(None)) -> Matrix:
        """The precision or recall of every class that counts, of some test images of a split."""
        of = measure(self.made["measure"])
        found: Matrix = of(self.scores[split][chosen], self.targets[split][chosen])
        return found[self.counted]


def read(folder: Path) -> Result:
    """Open the result of a task; a ValueError that names the folder where it is missing or damaged."""
    made = read_json(folder / "made.json", ("classes", "counted", "measure", "part", "C"))
    try:
        parts = [folder / str(k) for k in range(len(made["C"]))]
        arrays = [tuple(np.load(part / f"{name}.npy") for part in parts) for name in ("scores", "targets")]
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: damaged result ({error}): delete the folder and classify again") from None
    return Result(folder, made, arrays[0], arrays[1])
