"""Stored posteriors and boxes of a sample of images, computed again from the weights, one image and one view at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core.files import file_digest
from vggrepro.core.progress import show_progress
from vggrepro.data.store import Store
from vggrepro.localisation.stores import BoxStore, read_boxes
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import with_seed
from vggrepro.paper.tables import best_classification
from vggrepro.recompute.findings import Finding, compared_numbers, equal, skipped
from vggrepro.recompute.images import (
    Pixels,
    centre_corner,
    cut,
    grid_corners,
    net_input,
    rescaled,
    rescaled_size,
    store_digest,
    stored_image,
)
from vggrepro.recompute.net import StoredNet, crop_outputs, output_map, read_net, wrong_layers
from vggrepro.scores.stores import read_scores

POSTERIOR_TOLERANCES = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
"""By the precision of the evaluation: the largest difference of a posterior that rounding explains."""
BOX_TOLERANCES = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
"""Of a box's edge, in sides of the window that the net sees."""


class Sample(NamedTuple):
    """How many things of each result are computed again, and what draws them."""

    size: int = 4
    seed: int = 0

    def of(self, path: str, count: int) -> NDArray[np.int64]:
        """Numbers below `count` for the result at `path`, ascending; another seed gives others."""
        generator = np.random.default_rng([self.seed, zlib.crc32(path.encode())])
        return np.sort(generator.permutation(count)[: self.size])


def recomputed_scores(results: Path, path: str, sample: Sample) -> Iterator[Finding]:
    """The findings on the score store at `path` below a folder of results."""
    scores = read_scores(results / path)
    chosen, what = (
        sample.of(path, len(scores)),
        f"posteriors of {min(sample.size, len(scores))} of {len(scores)} images",
    )
    net, store = _net_and_images(results, scores.metadata)
    if not isinstance(net, StoredNet) or store is None:
        yield skipped(path, what, str(net))
        return
    yield equal(path, "labels and ids of all images", _same_images(scores.labels, scores.ids, store), "not the store's")
    settings, protocol, Q = scores.metadata["settings"], scores.metadata["protocol"], scores.metadata["Q"]
    again = [
        posteriors(net, stored_image(store, int(i)), protocol, Q, settings)
        for i in show_progress(chosen, total=len(chosen), about=path, unit="image")
    ]
    yield compared_numbers(
        path,
        what,
        np.array(again),
        np.concatenate([scores.rows(slice(i, i + 1)) for i in chosen]),
        tolerance=POSTERIOR_TOLERANCES[settings["precision"]],
    )


def _same_images(labels: NDArray[np.int64], ids: tuple[str, ...], store: Store) -> bool:
    return list(ids) == store.ids and np.array_equal(labels, store.labels)


def _net_and_images(results: Path, metadata: Mapping[str, Any]) -> tuple[StoredNet | str, Store | None]:
    """The net and the validation images of a stored result; in place of the net a text that says what is missing."""
    if "run" not in metadata:
        return "the scores of an imported system: there are no weights", None
    folder = results / "data" / "val"
    if not (folder / "store.json").exists() or store_digest(folder) != metadata["data"]:
        return f"{folder} does not hold the images that it was made on: prepare them again", None
    return net_of(results, metadata["run"], metadata["weights"]), Store(folder)


def net_of(results: Path, run: str, digest: str) -> StoredNet | str:
    """The net of a run if its weights are the ones with the digest, else a text that says what is missing."""
    file = results / "runs" / run / "weights.safetensors"
    if not file.exists():
        # a variant that is only tested otherwise has the weights of the run that it varies
        file = results / "runs" / Run.parse(run).varied.name / "weights.safetensors"
    if not file.exists():
        return f"{file} is not there"
    if file_digest(file) != digest:
        return f"{file} holds other weights than those that made it: {run} was trained again since"
    net = read_net(file)
    return f"{file}: {problem}" if (problem := wrong_layers(net)) else net


def posteriors(
    net: StoredNet, image: Pixels, protocol: str, Q: int, settings: Mapping[str, Any]
) -> NDArray[np.float64]:
    """PAPER 3.2, 4: [classes] of one image at one Q: soft-max posteriors averaged over its views and their mirror images."""
    image, crop = rescaled(image, net.sizes.pixels(Q)), net.sizes.crop
    height, width = image.shape[:2]
    if protocol == "dense":
        views = [image]
    elif protocol == "multi-crop":
        views = [cut(image, corner, crop) for corner in grid_corners(height, width, crop, settings["crop_grid"])]
    else:
        views = [cut(image, centre_corner(height, width, crop), crop)]
    if protocol != "centre-crop":
        views += [view[:, ::-1] for view in views]
    return np.asarray(np.mean([_view_posteriors(net, view, protocol, settings["average"]) for view in views], 0))


def _view_posteriors(net: StoredNet, view: Pixels, protocol: str, average: str) -> NDArray[np.float64]:
    x = net_input([view], -np.array(net.mean))
    with torch.inference_mode():
        if protocol != "dense":
            scores = crop_outputs(net.net, net.weights, x, net.sizes)[0].double()
            return np.asarray(torch.softmax(scores, 0))
        scores = output_map(net.net, net.weights, x, net.sizes)[0].double()
        if average == "scores":
            return np.asarray(torch.softmax(scores.mean((1, 2)), 0))
        return np.asarray(torch.softmax(scores, 0).mean((1, 2)))


def recomputed_boxes(results: Path, path: str, sample: Sample) -> Iterator[Finding]:
    """The findings on the box store at `path` below a folder of results."""
    boxes = read_boxes(results / path)
    chosen, size = sample.of(path, len(boxes)), min(sample.size, len(boxes))
    metadata = boxes.metadata
    net, store = _net_and_images(results, metadata)
    if not isinstance(net, StoredNet) or store is None:
        yield skipped(path, f"boxes of {size} of {len(boxes)} images", str(net))
        return
    yield equal(path, "labels and ids of all images", _same_images(boxes.labels, boxes.ids, store), "not the store's")
    yield equal(path, "true boxes of all images", np.array_equal(boxes.truth, store.truth), "not the store's")
    classifier = _classifier(results, metadata)
    if isinstance(classifier, str):
        yield skipped(path, f"scores of the boxes of {size} images", classifier)
    tolerances = (table[metadata["settings"]["precision"]] for table in (BOX_TOLERANCES, POSTERIOR_TOLERANCES))
    yield from _box_findings(path, boxes, store, net, classifier, chosen, *tolerances)


def _classifier(results: Path, metadata: Mapping[str, Any]) -> StoredNet | str | None:
    """PAPER A.1: the net that scores boxes is the one that the run began with; None where the true class is given."""
    if metadata["classifier"] is None:
        return None
    parent = Run.parse(metadata["run"]).parent()
    assert parent is not None, "a net that predicts boxes begins with a classifier"
    return net_of(results, parent.name, metadata["classifier"])


def _box_findings(
    path: str, boxes: BoxStore, store: Store, net: StoredNet, classifier: StoredNet | str | None,
    chosen: NDArray[np.int64], box_tolerance: float, score_tolerance: float,
) -> Iterator[Finding]:  # fmt: skip
    Q, protocol = boxes.metadata["Q"], boxes.metadata["protocol"]
    edges: list[NDArray[np.float64]] = []
    stored, scales, ours, theirs = [], [], [], []
    for i in show_progress(chosen, total=len(chosen), about=path, unit="image"):
        labels, locations = boxes.box_labels[i], slice(boxes.offsets[i], boxes.offsets[i + 1])
        image, size = stored_image(store, int(i)), store.size(int(i))
        edges.append(image_boxes(net, image, size, protocol, Q, labels).reshape(-1, 4))
        stored.append(boxes.boxes[locations].reshape(-1, 4))
        # the window's side in pixels of the original image
        window = net.sizes.crop * min(size) / net.sizes.pixels(Q)
        scales.append(np.full((len(edges[-1]), 1), window))
        if isinstance(classifier, StoredNet):
            ours.append(label_posteriors(classifier, image, Q, labels).reshape(-1))
        elif classifier is None:
            ours.append(np.ones(boxes.scores[locations].size))
        theirs.append(boxes.scores[locations].reshape(-1))
    if [len(a) for a in edges] != [len(b) for b in stored]:
        yield Finding(path, "locations of boxes", "differs", "another number of boxes than the map has locations")
        return
    count = f"{len(chosen)} of {len(boxes)} images"
    yield compared_numbers(
        path, f"boxes of {count}", np.concatenate(edges), np.concatenate(stored), tolerance=box_tolerance,
        scale=np.concatenate(scales), note="in sides of the net's window",
    )  # fmt: skip
    if ours:
        yield compared_numbers(
            path,
            f"scores of the boxes of {count}",
            np.concatenate(ours),
            np.concatenate(theirs),
            tolerance=score_tolerance,
        )


def _box_view(net: StoredNet, image: Pixels, protocol: str, Q: int) -> tuple[Pixels, tuple[int, int]]:
    """What the net sees of an image, and its top-left corner in the rescaled image. CHOICE 9: no mirror image."""
    image = rescaled(image, net.sizes.pixels(Q))
    if protocol == "dense":
        return image, (0, 0)
    corner = centre_corner(image.shape[0], image.shape[1], net.sizes.crop)
    return cut(image, corner, net.sizes.crop), corner


def image_boxes(
    net: StoredNet, image: Pixels, size: tuple[int, int], protocol: str, Q: int, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """PAPER A.1: [locations, K, 4], the boxes of K labels in pixels of the original image of this (height, width)."""
    view, (top, left) = _box_view(net, image, protocol, Q)
    with torch.inference_mode():
        outputs = (
            output_map(net.net, net.weights, net_input([view], -np.array(net.mean)), net.sizes)[0].double().numpy()
        )
    rows, columns = outputs.shape[1:]
    new_height, new_width = rescaled_size(size, net.sizes.pixels(Q))
    crop, unit, shared = net.sizes.crop, net.sizes.unit, len(outputs) == 4
    boxes = np.empty((rows * columns, len(labels), 4))
    for place in range(rows * columns):
        y, x = divmod(place, columns)
        for k, label in enumerate(labels):
            cx, cy, w, h = outputs[slice(0, 4) if shared else slice(4 * label, 4 * label + 4), y, x]
            # from the window's frame to the rescaled image, and from there to the original; at least a pixel wide and high
            centre = (((cx + 0.5) * crop + left + unit * x) * size[1] / new_width,
                      ((cy + 0.5) * crop + top + unit * y) * size[0] / new_height)  # fmt: skip
            sides = max(1.0, w * crop * size[1] / new_width), max(1.0, h * crop * size[0] / new_height)
            boxes[place, k] = [*(c - s / 2 for c, s in zip(centre, sides, strict=True)),
                               *(c + s / 2 - 1 for c, s in zip(centre, sides, strict=True))]  # fmt: skip
    return boxes


def label_posteriors(net: StoredNet, image: Pixels, Q: int, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """[locations, K]: the posteriors of K labels in the window of every location of the whole image."""
    view, _ = _box_view(net, image, "dense", Q)
    with torch.inference_mode():
        scores = output_map(net.net, net.weights, net_input([view], -np.array(net.mean)), net.sizes)[0].double()
    return np.asarray(torch.softmax(scores, 0).flatten(1).T[:, torch.from_numpy(labels)])


def average_posteriors(
    stores: Mapping[str, NDArray[np.float32]], weights: Mapping[str, Fraction]
) -> NDArray[np.float64]:
    """PAPER 3.2, 4: the weighted mean of posteriors [n, classes], by the stores' keys."""
    common = np.lcm.reduce([weight.denominator for weight in weights.values()])
    # whole weights, so that what is equal stays equal
    total = sum(int(weight * common) * stores[key].astype(np.float64) for key, weight in weights.items())
    return np.asarray(total) / int(common)


def recomputed_labels(results: Path, path: str) -> Finding:
    """PAPER A.1: whether the five labels of every image in `answers/s0` are those of the system that it names."""
    stored = np.load(results / path / "answers.npy", allow_pickle=False)
    weights = {e.path: share for e, share in with_seed(best_classification(), int(path.rpartition("/s")[2]))}
    if missing := [key for key in weights if not (results / "scores" / key).exists()]:
        return skipped(path, "top-5 labels", f"scores/{missing[0]} is not there")
    stores = {key: read_scores(results / "scores" / key) for key in weights}
    wrong = 0
    for first in range(0, len(stored), 500):
        part = {key: store.rows(slice(first, first + 500)) for key, store in stores.items()}
        for row, labels in zip(average_posteriors(part, weights), stored[first : first + 500], strict=True):
            wrong += labels.tolist() != sorted(range(len(row)), key=lambda c: (-row[c], c))[: len(labels)]
    return equal(path, f"top-5 labels of all {len(stored)} images", not wrong, f"others in {wrong} images")
