"""Our predictions in ILSVRC's official format; `external.imported` judges anyone's. No torch."""

from __future__ import annotations

from pathlib import Path

from vggrepro.core.files import write_text
from vggrepro.data import devkit
from vggrepro.data.devkit import Guess
from vggrepro.data.store import Store
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, read_boxes
from vggrepro.paper.systems import evaluations_of, with_seed
from vggrepro.paper.tables import localisation_systems
from vggrepro.scores.stores import open_evaluations
from vggrepro.settings.models import Settings


def write_submission_file(
    settings: Settings,
    *,
    system: str,
    boxes_folder: Path,
    val_folder: Path,
    devkit_folder: Path,
    out: Path,
    with_boxes: bool,
    workers: int,
) -> None:
    """Write the predictions of a row of Table 9, such as `D/256/256 + D/384/352,384`: a line per image, by image number.

    A line has up to five `label xmin ymin xmax ymax`, or labels alone: devkit ids, best first, of the first seed. Raises
    ValueError for a system that Table 9 does not have, and for classes that the devkit does not have.
    """
    store, stores = Store(val_folder), _open_system(system, settings.seeds[0], boxes_folder)
    if stores[0].metadata["data"] != store.digest:
        raise ValueError(f"{stores[0].folder}: boxes of other images than those in {val_folder}: predict them again")
    devkit_ids = devkit.devkit_labels(store.about["wnids"], devkit_folder)
    order = devkit.official_order(store.ids)
    boxes = merged_label_boxes(stores, settings.merge, workers=workers, about=system)[0] if with_boxes else None
    guesses = [
        Guess(tuple(devkit_ids[c] for c in stores[0].box_labels[i]), boxes[i] if boxes is not None else None)
        for i in order
    ]
    write_text(out, "".join(f"{line}\n" for line in devkit.format_guesses(guesses)))


def _open_system(name: str, seed: int, boxes_folder: Path) -> list[BoxStore]:
    """The box stores of a system of Table 9; a ValueError where it has none, or was given the true classes."""
    systems = localisation_systems()
    if name not in systems:
        raise ValueError(f"no row of Table 9 measures {name!r}: expected one of {', '.join(map(repr, systems))}")
    evaluations = evaluations_of(with_seed(systems[name], seed))
    if with_true_class := [e.path for e in evaluations if e.protocol != "dense"]:
        raise ValueError(f"{name!r} is no submission: {with_true_class[0]} has boxes for the true classes alone")
    stores = open_evaluations(boxes_folder, evaluations, read_boxes)
    if missing := [e.path for e in evaluations if e.path not in stores]:
        raise ValueError(
            f"{boxes_folder / missing[0]}: no such boxes: predict them first, Snakemake does so on its own"
        )
    return list(stores.values())
