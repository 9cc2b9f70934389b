"""Features of a sample of pictures from the weights, and scores of SVMs from the features (appendix B), computed again.

An SVM is fitted by minimising its objective with L-BFGS, class by class, where LIBLINEAR descends along coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core.progress import show_progress
from vggrepro.core.records import typed_record
from vggrepro.data.collections import VOC, Caltech, Collection, open_collection
from vggrepro.paper.tasks import TASKS, Task
from vggrepro.recompute.evaluations import Sample, net_of
from vggrepro.recompute.findings import Finding, compared_numbers, equal, skipped
from vggrepro.recompute.images import Pixels, decoded, net_input, rescaled
from vggrepro.recompute.net import StoredNet, hidden_map
from vggrepro.transfer.results import SVMResult, read_svm_result

FEATURE_TOLERANCES = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
"""By the precision of the evaluation: the largest difference of a feature, in units of a picture's largest one."""
SVM_TOLERANCE = 0.02
"""Of a score, in units of the margin: LIBLINEAR stops before the minimum, where its gradient is 10^-4 of the first one."""

Matrix = NDArray[np.float64]


def picture(collection: Collection, i: int) -> Pixels:
    """Picture `i`: an image, or the box of a person, decoded by PIL."""
    about = collection.pictures[i]
    pixels = decoded(collection.files.read(about.name))
    if not collection.cut or about.box is None:
        return pixels
    x0, y0, x1, y1 = about.box
    return pixels[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]


def recomputed_features(results: Path, path: str, data_sets: Mapping[str, Path], sample: Sample) -> Iterator[Finding]:
    """The findings on the features at `path`; `data_sets` are folders of VOC and Caltech by their names in the settings."""
    metadata = typed_record(
        results / path / "made.json", ("run", "name", "data", "scales", "weights", "settings", "images")
    )
    what = f"features of {min(sample.size, metadata['images'])} of {metadata['images']} pictures"
    collection = _collection(metadata["name"], data_sets)
    if isinstance(collection, str) or collection.digest != metadata["data"]:
        why = collection if isinstance(collection, str) else f"{collection.files.path} holds other pictures by now"
        yield skipped(path, what, why)
        return
    net = net_of(results, metadata["run"], metadata["weights"])
    if isinstance(net, str):
        yield skipped(path, what, net)
        return
    chosen, tolerance = sample.of(path, len(collection)), FEATURE_TOLERANCES[metadata["settings"]["precision"]]
    again, stored = [], []
    for Q in show_progress(metadata["scales"], total=len(metadata["scales"]), about=path, unit="Q"):
        stored.append(np.load(results / path / f"{Q}.npy", allow_pickle=False, mmap_mode="r")[chosen])
        again.append([picture_features(net, picture(collection, int(i)), Q) for i in chosen])
    scale = np.abs(again).max(2, keepdims=True)
    what += f" at Q = {', '.join(map(str, metadata['scales']))}"
    yield compared_numbers(path, what, np.array(again), np.array(stored), tolerance=tolerance, scale=scale)


def _collection(name: str, data_sets: Mapping[str, Path]) -> Collection | str:
    task = next(task for task in TASKS.values() if name in task.collections)
    if task.data not in data_sets or not data_sets[task.data].exists():
        return f"the images of {task.data} are not there: give the settings that name its folder"
    return open_collection(name, data_sets[task.data])


def picture_features(net: StoredNet, image: Pixels, Q: int) -> NDArray[np.float64]:
    """PAPER B: [fc]: the second FC layer after its ReLU, averaged over space and over the image and its mirror image."""
    image, halves = rescaled(image, net.sizes.pixels(Q)), []
    with torch.inference_mode():
        for view in (image, image[:, ::-1]):
            x = net_input([view], -np.array(net.mean))
            halves.append(hidden_map(net.net, net.weights, x, net.sizes)[0].double().mean((1, 2)).numpy())
    return np.asarray((halves[0] + halves[1]) / 2)


def recomputed_svms(results: Path, path: str, data_sets: Mapping[str, Path], sample: Sample) -> Iterator[Finding]:
    """The findings on the SVMs at `path`: fitted again on the stored features, for a sample of the classes."""
    result, task = read_svm_result(results / path), TASKS[path.split("/")[1]]
    classes = result.metadata["classes"]
    chosen, what = (
        sample.of(path, len(classes)),
        f"scores of SVMs of {min(sample.size, len(classes))} of {len(classes)} classes",
    )
    collection = _collection(task.collections[0], data_sets)
    if isinstance(collection, str):
        yield skipped(path, what, collection)
        return
    nets = result.metadata["nets"]
    folders = [results / "features" / net / name for name in task.collections for net in nets]
    if missing := [folder for folder in folders if not (folder / "made.json").exists()]:
        yield skipped(path, what, f"{missing[0]} is not there")
        return
    descriptors = task_descriptors(folders, task, result.metadata["settings"]["normalise"])
    for split in range(len(result.scores)):
        parts = _parts(results, collection, task, result, split)
        if isinstance(parts, str):
            yield skipped(path, what, parts)
            continue
        train, test, targets = parts
        name = f"{what}, split {split}" if len(result.scores) > 1 else what
        yield equal(
            path,
            f"targets of split {split}",
            np.array_equal(targets[test], result.targets[split]),
            "not the data set's",
        )
        C, columns = result.metadata["C"][split], []
        for c in show_progress(chosen, total=len(chosen), about=path, unit="class"):
            counted = train[targets[train, c] != 0]
            weights = fitted_svm(descriptors[counted], targets[counted, c].astype(np.float64), C)
            columns.append(np.column_stack([descriptors[test], np.ones(len(test))]) @ weights)
        yield compared_numbers(
            path,
            name,
            np.array(columns).T,
            result.scores[split][:, chosen],
            tolerance=SVM_TOLERANCE,
            note=f"C = {C:g}, as recorded",
        )
    yield skipped(path, "the choice of C", "it is taken as recorded: choosing again is a fit for every C")


def _parts(
    results: Path, collection: Collection, task: Task, result: SVMResult, split: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]] | str:
    """Which pictures train and which are measured, and the targets [N, classes] of all; or what is missing."""
    if isinstance(collection, Caltech):
        file = results / "splits" / task.data / f"{split}.csv"
        if not file.exists():
            return f"{file} is not there"
        parts = dict(line.rsplit(",", 1) for line in file.read_text(encoding="utf-8").splitlines()[1:])
        of = {
            part: np.array([i for i, name in enumerate(collection.ids) if parts[name] == part])
            for part in ("train", "test")
        }
        targets = np.where(np.arange(len(collection.classes)) == collection.labels[:, None], 1, -1).astype(np.int8)
        return of["train"], of["test"], targets
    assert isinstance(collection, VOC), "a collection is VOC or Caltech"
    measured = result.metadata["part"]
    train = [collection.parts["train"]] + ([collection.parts["val"]] if measured == "test" else [])
    return np.concatenate(train), collection.parts[measured], collection.labels


def task_descriptors(folders: Sequence[Path], task: Task, normalise: str) -> Matrix:
    """PAPER B: [N, D]: scales averaged, stacked or their maximum, nets (and boxes) stacked, each and all of unit length."""
    parts = []
    for folder in folders:
        scales = [np.load(folder / f"{Q}.npy", allow_pickle=False).astype(np.float64) for Q in task.scales]
        scales = [_unit(values) for values in scales] if normalise == "before" else scales
        combined = {"average": np.mean(scales, 0), "maximum": np.max(scales, 0), "stack": np.hstack(scales)}
        parts.append(_unit(combined[task.combine]))
    return _unit(np.hstack(parts))


def _unit(rows: Any) -> Matrix:  # noqa: ANN401
    return np.array([row / max(float(np.sqrt((row * row).sum())), 1e-38) for row in rows])


def fitted_svm(descriptors: Matrix, signs: Matrix, C: float) -> Matrix:
    """[D + 1]: weights and bias that minimise half their squared length plus C times the summed squared hinge losses."""
    from scipy.optimize import minimize

    rows = np.column_stack([descriptors, np.ones(len(descriptors))])

    def objective(weights: Matrix) -> tuple[float, Matrix]:
        short = np.maximum(0, 1 - signs * (rows @ weights))
        return float(weights @ weights / 2 + C * short @ short), weights - 2 * C * rows.T @ (signs * short)

    found = minimize(
        objective, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-6}
    )
    return np.asarray(found.x)
