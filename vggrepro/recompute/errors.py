"""Which images a system gets wrong, and precisions and recalls of SVMs, from what is stored: the definitions, written out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.progress import show_progress
from vggrepro.localisation.stores import BoxStore, read_boxes
from vggrepro.paper.references import on_path, on_reference
from vggrepro.paper.systems import System, with_seed
from vggrepro.recompute.evaluations import average_posteriors
from vggrepro.scores.stores import Scores, TopLabels, read_scores_or_labels
from vggrepro.settings.blocks import MergeSettings
from vggrepro.transfer.results import SVMResult

ErrorsOfImages = dict[str, NDArray[Any]]
"""[N] by quantity: which images are wrong; of a quantity that is no count of images, values whose mean it is."""
BoxCorners = NDArray[np.number]
"""[..., 4]: xmin, ymin, xmax, ymax."""
IMAGES_AT_A_TIME = 500
MATCHES = {"distance+overlap": (1, 1), "distance": (1, 0), "overlap": (0, 1)}
"""Weights of the distance of centres and of 1 - IoU in a match score. Errors with one that is not here are not recomputed."""


LabelsById = Mapping[str, Sequence[int]]
"""The labels of every image, by its id."""


def classification_errors(
    folder: Path,
    system: System,
    seed: int,
    references: Mapping[str, LabelsById] | None = None,
    at: str = "",
    quantities: Collection[str] = ("top-1", "top-5"),
) -> ErrorsOfImages | None:
    """PAPER 4: errors of averaged posteriors; None where a store below `folder` is missing.

    Top-N errors by the data set's labels, and by those of each of the `references`: an image is right if one of its labels is
    among the first N, and does not count without a label. Mean per-class and calibration errors by the data set's labels.
    `at` is the name in paths of other images.
    """
    numbers = [int(quantity.removeprefix("top-")) for quantity in quantities if quantity.startswith("top-")]
    weights = {on_path(member.path, at): share for member, share in with_seed(system, seed)}
    if not all((folder / path).exists() for path in weights):
        return None
    stores = {path: read_scores_or_labels(folder / path) for path in weights}
    first = next(iter(stores.values()))
    own = [[int(label)] for label in first.labels]
    by_reference = {"": own} | {
        name: [by_id[image] for image in first.ids]
        for name, by_id in (references or {}).items()
        if set(first.ids) <= set(by_id)
    }
    wrong: ErrorsOfImages = {}
    for name, labels in by_reference.items():
        places, confidences = _places(stores, weights, labels)
        counted = np.array([bool(each) for each in labels])
        wrong |= {on_reference(f"top-{k}", name): np.array(places)[counted] >= k for k in numbers}
        if not name:
            right = [place == 0 for place in places]
            wrong["mean per-class error"] = _shares_of_classes(right, first.labels.tolist())
            wrong |= {"ECE": _shares_of_bins(right, confidences)} if confidences else {}
    return wrong


def _shares_of_classes(right: Sequence[bool], labels: Sequence[int]) -> NDArray[np.float64]:
    """[N], whose mean is the mean over classes of the error rate of a class: an image of a rare class weighs more."""
    images = Counter(labels)
    weights = [len(labels) / (len(images) * images[label]) for label in labels]
    return np.array([0.0 if good else weight for good, weight in zip(right, weights, strict=True)])


def _shares_of_bins(right: Sequence[bool], confidences: Sequence[float]) -> NDArray[np.float64]:
    """[N], whose mean is the calibration error: Guo et al. (2017), 15 equal bins of confidence, each with its upper end."""
    bins = [next((b for b in range(15) if confidence <= (b + 1) / 15), 14) for confidence in confidences]
    gaps = [confidence - good for confidence, good in zip(confidences, right, strict=True)]
    of_bins: Counter[int] = Counter()
    for b, gap in zip(bins, gaps, strict=True):
        of_bins[b] += gap  # type: ignore[assignment]
    return np.array([gap if of_bins[b] > 0 else -gap for b, gap in zip(bins, gaps, strict=True)])


def _places(
    stores: Mapping[str, Scores | TopLabels], weights: Mapping[str, Fraction], labels: Sequence[Sequence[int]]
) -> tuple[list[int], list[float]]:
    """At which place of every image's classes, best first, one of its labels stands (0 is the first); its best posterior.

    Without posteriors there are no best ones.
    """
    first = next(iter(stores.values()))
    if isinstance(first, TopLabels):
        lists = first.predicted[:, :5].tolist()
        return [
            min((row.index(label) for label in own if label in row), default=len(row) + 5)
            for row, own in zip(lists, labels, strict=True)
        ], []
    places, confidences = [], []
    for start in range(0, len(first), IMAGES_AT_A_TIME):
        rows = slice(start, start + IMAGES_AT_A_TIME)
        posteriors = average_posteriors(
            {path: store.rows(rows) for path, store in stores.items() if isinstance(store, Scores)}, weights
        )
        for row, own in zip(posteriors, labels[rows], strict=True):
            # of equal posteriors the class with the lower number comes first
            before = (int((row > row[label]).sum()) + int((row[:label] == row[label]).sum()) for label in own)
            places.append(min(before, default=0))
            confidences.append(float(row.max()))
    return places, confidences


def localisation_errors(folder: Path, system: System, seed: int, merge: MergeSettings) -> ErrorsOfImages | None:
    """PAPER A.1: which of the counted images have no right box of the true label after merging; None without a store."""
    paths = [member.path for member, _ in with_seed(system, seed)]
    if not all((folder / path).exists() for path in paths):
        return None
    stores = [read_boxes(folder / path) for path in paths]
    first, missed = stores[0], []
    images = np.flatnonzero(first.counted)
    for i in show_progress(images, total=len(images), about=" + ".join(paths), unit="image"):
        missed.append(not _localised(stores, int(i), merge))
    return {"localisation": np.array(missed, bool)}


def _localised(stores: Sequence[BoxStore], i: int, merge: MergeSettings) -> bool:
    first = stores[0]
    label = int(first.labels[i])
    if label not in first.box_labels[i]:
        return False
    k = first.box_labels[i].tolist().index(label)
    boxes: list[list[float]] = []
    scores: list[float] = []
    for store in stores:
        here = slice(store.offsets[i], store.offsets[i + 1])
        candidates = list(zip(store.boxes[here, k].tolist(), store.scores[here, k].tolist(), strict=True))
        best = sorted(range(len(candidates)), key=lambda place: -candidates[place][1])[: merge.top_k]
        boxes += [candidates[place][0] for place in sorted(best)]
        scores += [candidates[place][1] for place in sorted(best)]
    box = best_merged_box(boxes, scores, merge)
    height, width = first.sizes[i]
    box = [min(max(edge, 0.0), limit - 1) for edge, limit in zip(box, (width, height, width, height), strict=True)]
    return bool((overlap(np.array(box), first.truth[first.truth[:, 0] == i, 1:]) >= 0.5).any())


def best_merged_box(boxes: Sequence[Sequence[float]], scores: Sequence[float], merge: MergeSettings) -> list[float]:
    """PAPER A.1, CHOICE 9: the two boxes that match best become their average until none match; the best score is left."""
    left, sums, members = np.array(boxes, np.float64), np.array(scores, np.float64), np.ones(len(boxes))
    # [n, n]: how badly box i matches a later box j; infinite for all others
    badness = np.full((len(left), len(left)), np.inf)
    for i in range(len(left)):
        badness[i, i + 1 :] = match(left[i], left[i + 1 :], merge.match)
    alive = np.ones(len(left), bool)
    while alive.sum() > 1:
        i, j = divmod(int(badness.argmin()), len(left))
        if badness[i, j] > merge.threshold:
            break
        shares = {"pairs": np.ones(2), "members": members[[i, j]], "scores": sums[[i, j]]}[merge.average]
        shares = shares if shares.sum() > 0 else np.ones(2)
        left[i] = (shares[0] * left[i] + shares[1] * left[j]) / shares.sum()
        sums[i], members[i], alive[j] = sums[i] + sums[j], members[i] + members[j], False
        badness[j, :] = badness[:, j] = np.inf
        later, earlier = alive & (np.arange(len(left)) > i), alive & (np.arange(len(left)) < i)
        badness[i, later] = match(left[i], left[later], merge.match)
        badness[earlier, i] = match(left[i], left[earlier], merge.match)
    best: list[float] = left[np.where(alive, sums, -np.inf).argmax()].tolist()
    return best


def match(box: BoxCorners, others: BoxCorners, kind: str) -> NDArray[np.float64]:
    """How badly a box [4] matches others [n, 4]: the distance of centres over the root of the mean area, plus 1 - IoU, [n].

    Or one of the two; a LookupError for another `kind`.
    """
    areas = _area(box) + _area(others)
    apart = np.hypot(*((box[:2] + box[2:] - others[:, :2] - others[:, 2:]).T / 2)) / np.sqrt(areas / 2)
    of_distance, of_overlap = MATCHES[kind]
    return np.asarray(of_distance * apart + of_overlap * (1 - overlap(box, others)))


def overlap(box: BoxCorners, others: BoxCorners) -> NDArray[np.float64]:
    """Intersection over union of a box [4] with others [n, 4], [n]; pixels are inclusive."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + 1
    shared = np.maximum(sides, 0).prod(1)
    return np.asarray(shared / (_area(box) + _area(others) - shared))


def _area(boxes: BoxCorners) -> NDArray[np.float64]:
    return np.asarray((boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1), np.float64)


def mean_share(result: SVMResult) -> float:
    """PAPER B: the mean precision or recall over the classes that count, and over splits."""
    kind, counted = (
        result.metadata["measure"],
        [name in result.metadata["counted"] for name in result.metadata["classes"]],
    )
    means = []
    for scores, targets in zip(result.scores, result.targets, strict=True):
        if kind == "recall":
            truth, best = targets.argmax(1), scores.argmax(1)
            values = [float((best[truth == c] == c).mean()) for c in range(scores.shape[1])]
        else:
            values = [
                average_precision(s[t != 0].tolist(), (t[t != 0] > 0).tolist(), kind)
                for s, t in zip(scores.T, targets.T, strict=True)
            ]
        means.append(float(np.mean([value for value, counts in zip(values, counted, strict=True) if counts])))
    return float(np.mean(means))


def average_precision(scores: Sequence[float], positive: Sequence[bool], kind: str) -> float:
    """VOC's: over 11 recalls (2007), or the area under the curve (from 2010), of the best precision at a recall or above."""
    hits, curve = 0, []
    for seen, i in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        hits += positive[i]
        curve.append((hits, hits / seen))
    if kind == "11-point":
        tenths = (max((p for h, p in curve if 10 * h >= k * hits), default=0.0) for k in range(11))
        return sum(tenths) / 11
    best, area = 0.0, 0.0
    for place in range(len(curve) - 1, -1, -1):
        best = max(best, curve[place][1])
        area += best * (curve[place][0] - (curve[place - 1][0] if place else 0)) / hits
    return area


def mean_wrong(by_seed: Sequence[ErrorsOfImages], quantity: str) -> float:
    """The error rate, averaged over seeds."""
    return float(np.mean([wrong[quantity].mean() for wrong in by_seed]))
