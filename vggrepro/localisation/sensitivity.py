"""What merging does to boxes: how Table 9 moves with its parameters, and examples to look at. No net runs, no torch."""

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
from pydantic import TypeAdapter

from vggrepro.core.files import atomic_folder, read_json, write_json, write_text
from vggrepro.data.boxes import BoxArray, clip
from vggrepro.data.store import Store
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, missed_boxes, read_boxes
from vggrepro.paper.systems import System, with_seed
from vggrepro.paper.tables import best_localisation, localisation_systems, table_evaluations
from vggrepro.scores.stores import open_evaluations
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.models import Settings

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.83, 1.0, 1.25, 1.6, 2.2, 4.0)
TOP_K = (1, 5, 20)
EXAMPLES_SHOWN = 4
"""Images that are localised, and as many that are not, to look at."""
EXAMPLE_SIDE = 320
"""Longest side of an example's picture in pixels."""


@dataclass(frozen=True)
class Example:
    """An image of the true class among its five labels, with its boxes in pixels of the picture."""

    id: str
    localised: bool
    picture: str
    """File name beside the list of examples."""
    true: list[list[float]]
    before: list[list[float]]
    """Boxes of the true class at all locations, scales and nets."""
    after: list[list[float]]
    """What merging left of them."""
    answer: list[float]


def write_sensitivity(settings: Settings, boxes_folder: Path, val_folder: Path, out: Path, workers: int) -> None:
    """Write `sensitivity.csv`, `examples.json` and its pictures into the folder `out`, from the box stores of Table 9."""
    seeds = settings.seeds[:1]
    stores = open_evaluations(boxes_folder, table_evaluations("9", seeds), read_boxes)
    systems = {name: _stores(found, seeds[0], stores) for name, found in localisation_systems().items()}
    val, best = Store(val_folder), best_localisation()
    for store in stores.values():
        if store.metadata["data"] != val.digest:
            raise ValueError(f"{store.folder}: boxes of other images than those in {val_folder}: predict them again")
    points = list(_sweep(systems, best, settings.merge, workers))
    with atomic_folder(out, "examples.json") as root:
        write_text(root / "sensitivity.csv", _csv(points))
        examples = _examples(systems[best], settings, val, root, workers)
        write_json(root / "examples.json", [asdict(example) for example in examples])


def read_sensitivity(folder: Path) -> tuple[list[dict[str, str]], list[Example]]:
    """Lines of `sensitivity.csv`, and the examples."""
    with (folder / "sensitivity.csv").open(encoding="utf-8", newline="") as file:
        points = list(csv.DictReader(file))
    return points, TypeAdapter(list[Example]).validate_python(read_json(folder / "examples.json"))


def _stores(system: System, seed: int, stores: dict[str, BoxStore]) -> list[BoxStore]:
    paths = [e.path for e, _ in with_seed(system, seed)]
    if missing := set(paths) - set(stores):
        raise ValueError(f"no boxes of {min(missing)}: predict them first, Snakemake does so on its own")
    return [stores[path] for path in paths]


def _sweep(
    systems: dict[str, list[BoxStore]], best: str, default: MergeSettings, workers: int
) -> Iterator[dict[str, Any]]:
    """An error for every system and threshold, and for the best system with every other parameter changed alone."""
    from vggrepro.localisation.merging import AVERAGE, MATCH

    thresholds = sorted({*THRESHOLDS, default.threshold})
    changes: list[dict[str, Any]] = [{"average": name} for name in AVERAGE if name != default.average]
    changes += [{"match": name} for name in MATCH if name != default.match]
    changes += [{"top_k": k} for k in (None, *TOP_K) if k != default.top_k]
    for name, stores in systems.items():
        for change in [{}, *(changes if name == best else [])]:
            merge = default.model_copy(update=change)
            about = f"merging {name}, {change or 'as set'}"
            boxes = merged_label_boxes(
                stores, merge, thresholds=thresholds, true_only=True, workers=workers, about=about
            )
            for threshold, missed in zip(thresholds, missed_boxes(stores[0], boxes), strict=True):
                kept = {"match": merge.match, "average": merge.average, "top_k": merge.top_k or "all"}
                error = 100 * float(missed.mean())
                yield {"system": name, **kept, "threshold": threshold, "error": error, "n": missed.size}


def _csv(points: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(points[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    return text.getvalue()


def _examples(stores: Sequence[BoxStore], settings: Settings, val: Store, out: Path, workers: int) -> Iterator[Example]:
    """Some localised images, and some that are not though their class is among the five labels: spread over the set."""
    first = stores[0]
    boxes = merged_label_boxes(stores, settings.merge, true_only=True, workers=workers, about="examples")[0]
    missed = np.ones(len(first), bool)
    missed[first.counted] = missed_boxes(first, boxes)
    guessed = (first.answers == first.labels[:, None]).any(1) & first.counted
    for localised in (True, False):
        there = np.flatnonzero(guessed & (missed != localised))
        for i in there[np.linspace(0, len(there) - 1, min(EXAMPLES_SHOWN, len(there))).astype(int)]:
            yield _example(int(i), localised, stores, settings.merge, boxes, val, out)


def _example(
    i: int,
    localised: bool,
    stores: Sequence[BoxStore],
    merge: MergeSettings,
    boxes: NDArray[np.float64],
    val: Store,
    out: Path,
) -> Example:
    from vggrepro.localisation.merging import merged_boxes

    first = stores[0]
    k = int((first.answers[i] == first.labels[i]).argmax())
    parts = [store.of(i, k, merge.top_k) for store in stores]
    before, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    height, width = val.size(i)
    share = min(1.0, EXAMPLE_SIDE / max(height, width))
    size = round(width * share), round(height * share)
    Image.fromarray(val.image(i)).resize(size, Image.Resampling.BILINEAR).save(out / f"{i}.png")

    def scaled(found: BoxArray) -> list[list[float]]:
        edges = clip(found, np.array([height, width])) + np.array([0, 0, 1, 1])  # first to last edge, not inclusive
        return [[round(float(v) * share, 1) for v in box] for box in edges]

    return Example(
        id=first.ids[i],
        localised=localised,
        picture=f"{i}.png",
        true=scaled(val.boxes(i)),
        before=scaled(before),
        after=scaled(merged_boxes(before, scores, merge)[0]),
        answer=scaled(boxes[None, i, k])[0],
    )
