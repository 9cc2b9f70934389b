"""How Table 9 depends on the parameters of merging, and examples of merged boxes. No net runs, no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.files import atomic_folder, read_rows, write_json, write_text
from vggrepro.core.validation import read_typed
from vggrepro.data.boxes import BoxArray, clip
from vggrepro.data.store import Store
from vggrepro.localisation.errors import missed_images
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, read_boxes, union_candidates
from vggrepro.paper.systems import System, with_seed
from vggrepro.paper.tables import best_localisation, localisation_systems, table_evaluations
from vggrepro.scores.stores import open_evaluations
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.models import Settings

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.83, 1.0, 1.25, 1.6, 2.2, 4.0)
TOP_K = (1, 5, 20)
EXAMPLES_SHOWN = 4
"""Examples of localised images, and as many of others."""
EXAMPLE_SIDE = 320
"""Longest side of an example's picture in pixels."""


@dataclass(frozen=True)
class Example:
    """An image whose true class is among its five labels, with its boxes in pixels of the picture. Fields are keys on disk."""

    id: str
    localised: bool
    picture: str
    """File name beside the list of examples."""
    true: list[list[float]]
    before: list[list[float]]
    """Boxes of the true class at all locations, scales and nets."""
    after: list[list[float]]
    """The boxes that merging left of them."""
    answer: list[float]
    """The one with the best score, cut at the edges of the image."""


def write_sensitivity(settings: Settings, *, boxes_folder: Path, val_folder: Path, out: Path, workers: int) -> None:
    """Write `sensitivity.csv`, `examples.json` and its pictures into the folder `out`, from the box stores of Table 9.

    Of the first seed. Raises ValueError for boxes that are missing, or of other images than those of `val_folder`.
    """
    seed, val, best = settings.seeds[0], Store(val_folder), best_localisation()
    stores = open_evaluations(boxes_folder, table_evaluations("9", (seed,)), read_boxes)
    systems = {name: _system_stores(system, seed, stores) for name, system in localisation_systems().items()}
    for store in stores.values():
        if store.metadata["data"] != val.digest:
            raise ValueError(f"{store.folder}: boxes of other images than those in {val_folder}: predict them again")
    points = list(_sweep(systems, best=best, default=settings.merge, workers=workers))
    with atomic_folder(out, "examples.json") as root:
        write_text(root / "sensitivity.csv", _csv(points))
        examples = _examples(systems[best], settings.merge, val, root, workers)
        write_json(root / "examples.json", [asdict(example) for example in examples])


def read_sensitivity(folder: Path) -> tuple[list[dict[str, str]], list[Example]]:
    """The rows of `sensitivity.csv`, and the examples."""
    points = read_rows(folder / "sensitivity.csv", "measure merging again")
    return points, read_typed(list[Example], folder / "examples.json", "measure merging again")


def _system_stores(system: System, seed: int, stores: dict[str, BoxStore]) -> list[BoxStore]:
    paths = [e.path for e, _ in with_seed(system, seed)]
    if missing := set(paths) - set(stores):
        raise ValueError(f"no boxes of {min(missing)}: predict them first, Snakemake does so on its own")
    return [stores[path] for path in paths]


def _sweep(
    systems: dict[str, list[BoxStore]], *, best: str, default: MergeSettings, workers: int
) -> Iterator[dict[str, Any]]:
    """An error for every system and threshold, and for the best system with every other parameter changed alone."""
    thresholds, changes = sorted({*THRESHOLDS, default.threshold}), _changes(default)
    for name, stores in systems.items():
        for change in [{}, *(changes if name == best else [])]:
            merge = default.model_copy(update=change)
            about = f"merging {name}, {change or 'as set'}"
            boxes = merged_label_boxes(
                stores, merge, thresholds=thresholds, true_only=True, workers=workers, about=about
            )
            parameters = {"match": merge.match, "average": merge.average, "top_k": merge.top_k or "all"}
            for threshold, missed in zip(thresholds, missed_images(stores[0], boxes), strict=True):
                error = 100 * float(missed.mean())
                yield {"system": name, **parameters, "threshold": threshold, "error": error, "n": missed.size}


def _changes(default: MergeSettings) -> list[dict[str, Any]]:
    """Every parameter but the threshold changed alone, to each of its other values."""
    from vggrepro.localisation.merging import AVERAGE, MATCH

    values: dict[str, tuple[Any, ...]] = {"average": (*AVERAGE,), "match": (*MATCH,), "top_k": (None, *TOP_K)}
    return [{name: value} for name, others in values.items() for value in others if value != getattr(default, name)]


def _csv(points: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(points[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    return text.getvalue()


def _examples(
    stores: Sequence[BoxStore], merge: MergeSettings, val: Store, out: Path, workers: int
) -> Iterator[Example]:
    """Localised images, and others whose true class is among the five labels, both spread evenly over the set."""
    first = stores[0]
    boxes = merged_label_boxes(stores, merge, true_only=True, workers=workers, about="examples")[0]
    missed = np.ones(len(first), bool)
    missed[first.counted] = missed_images(first, boxes)
    has_true_label = (first.box_labels == first.labels[:, None]).any(1) & first.counted
    for localised in (True, False):
        images = np.flatnonzero(has_true_label & (missed != localised))
        for i in images[np.linspace(0, len(images) - 1, min(EXAMPLES_SHOWN, len(images))).astype(int)].tolist():
            k = int((first.box_labels[i] == first.labels[i]).argmax())
            before, scores = union_candidates(stores, i, k, merge.top_k)
            yield _example(
                val, i, localised=localised, before=before, scores=scores, answer=boxes[i, k], merge=merge, out=out
            )


def _example(
    val: Store,
    i: int,
    *,
    localised: bool,
    before: NDArray[np.float32],
    scores: NDArray[np.float32],
    answer: NDArray[np.float64],
    merge: MergeSettings,
    out: Path,
) -> Example:
    """The example of image `i`; its picture is written into the folder `out`."""
    from vggrepro.localisation.merging import remaining_boxes

    height, width = val.size(i)
    share = min(1.0, EXAMPLE_SIDE / max(height, width))
    size = round(width * share), round(height * share)
    Image.fromarray(val.image(i)).resize(size, Image.Resampling.BILINEAR).save(out / f"{i}.png")

    def in_picture(boxes: BoxArray) -> list[list[float]]:
        edges = clip(boxes, np.array([height, width])) + np.array([0, 0, 1, 1])  # first to last edge, not inclusive
        return [[round(float(v) * share, 1) for v in box] for box in edges]

    return Example(
        id=val.ids[i],
        localised=localised,
        picture=f"{i}.png",
        true=in_picture(val.boxes(i)),
        before=in_picture(before),
        after=in_picture(remaining_boxes(before, scores, merge)[0]),
        answer=in_picture(answer[None])[0],
    )
