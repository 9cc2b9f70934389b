"""Tables 8 to 10: localisation errors of merged boxes (appendix A). No torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vggrepro.localisation.errors import missed_images
from vggrepro.localisation.stores import BoxStore, merged_label_boxes, read_boxes
from vggrepro.paper.systems import System, evaluations_of
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.outcomes import Errors, ids_digest
from vggrepro.scores.stores import open_evaluations
from vggrepro.settings.blocks import MergeSettings
from vggrepro.settings.models import Settings
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.references import Reference, open_imported
from vggrepro.tables.systems import (
    ILSVRC_IMAGES,
    data_notes,
    measured_systems,
    papers_images,
    run_mixtures,
    systems_measurement,
)

BLACKLISTED = 1_762
"""Validation images of ILSVRC that the published localisation errors leave out."""


def measure_boxes(published: PublishedTable, settings: Settings, inputs: Inputs) -> Measurement:
    """The errors of every row, from the box stores of its evaluations and, where methods are compared, imported boxes.

    Raises ValueError for stores that are damaged, of other evaluations, or of different images.
    """
    folder = inputs.results(published.number)
    evaluations = published.evaluations(settings.seeds) if settings.localisation else []
    stores = open_evaluations(folder, evaluations, read_boxes)
    imported = open_imported(published, settings, inputs)
    errors = _localisation_errors(published, settings, stores, inputs.workers)
    papers = all(map(_papers_boxes, stores.values()))
    own = Reference("", {}, imported)
    return systems_measurement(published, settings, errors, [own], notes=_notes(stores, settings), papers=papers)


def _papers_boxes(store: BoxStore) -> bool:
    """Whether a store counts the images that the published localisation errors count."""
    return papers_images(store) and _left_out(store) == BLACKLISTED


def _left_out(store: BoxStore) -> int:
    return int((~store.counted).sum())


def _notes(stores: Mapping[str, BoxStore], settings: Settings) -> tuple[str, ...]:
    if not stores:
        switched_off = "" if settings.localisation else ": localisation is switched off"
        return (f"Nothing of ours was run for this table{switched_off}.",)
    store = next(iter(stores.values()))
    about_images = []
    if left_out := _left_out(store):
        about_images = [f"{left_out:,} blacklisted images are left out of the localisation error."]
    elif store.metadata["data set"] == ILSVRC_IMAGES[0]:
        about_images = [
            "The data set came without ILSVRC's blacklist: all its images count, 1,762 more than the paper's."
        ]
    return data_notes(store, settings, about_images=about_images)


def _localisation_errors(
    published: PublishedTable, settings: Settings, stores: Mapping[str, BoxStore], workers: int
) -> dict[System, dict[str, Errors]]:
    """The errors of every system whose boxes were all predicted."""
    errors = {}
    mixtures = run_mixtures(measured_systems(published), settings.seeds, stores)
    for system in dict.fromkeys(system for system, _ in mixtures):
        # boxes of a variant may be merged otherwise
        merge = settings.of(evaluations_of(system)[0].run).merge
        unions = [{path: stores[path] for path in mixtures[system, seed]} for seed in settings.seeds]
        missed = [_missed(union, merge, workers) for union in unions]
        first = next(iter(unions[0].values()))
        images = ids_digest(np.array(first.ids)[first.counted].tolist())
        sources = tuple(member.path for member, _ in system)
        errors[system] = {"localisation": Errors(np.stack(missed), images, sources)}
    return errors


def _missed(stores: Mapping[str, BoxStore], merge: MergeSettings, workers: int) -> NDArray[np.bool_]:
    """Which of the counted images the merged union of some stores' boxes does not localise, [counted]."""
    union = list(stores.values())
    boxes = merged_label_boxes(union, merge, true_only=True, workers=workers, about=", ".join(stores))
    missed: NDArray[np.bool_] = missed_images(union[0], boxes)[0]
    return missed
