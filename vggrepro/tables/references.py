"""References: what errors are measured on besides the data set's own validation images and labels. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.references import JUDGED, on_path, on_reference
from vggrepro.paper.runs import file_name
from vggrepro.paper.systems import System
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.label_sets import LabelSets, read_label_sets
from vggrepro.scores.outcomes import Errors, classification_errors
from vggrepro.scores.stores import LabelsOf, Scores, open_evaluations, own_labels, read_scores
from vggrepro.settings.models import Settings
from vggrepro.tables.imported import ImportedStore, imported_errors, imported_system, open_imported
from vggrepro.tables.measurement import Inputs


@dataclass(frozen=True)
class Reference:
    """Images and labels that errors are measured on besides the data set's own."""

    name: str
    stores: Mapping[str, Scores]
    """Of our evaluations, by path."""
    imported: Mapping[str, ImportedStore]
    """Of imported systems, by path."""
    labels_of: LabelsOf = own_labels
    at: str = ""
    """The name in paths of other images; empty where scores of the validation images are judged."""
    notes: tuple[str, ...] = ()

    def errors(self, systems: Iterable[System], seeds: Sequence[int]) -> dict[System, dict[str, Errors]]:
        """The errors of systems of ours, by quantity."""
        errors = classification_errors(systems, seeds, {**self.stores, **self.imported}, self.labels_of)
        return {system: self._named(by_quantity) for system, by_quantity in errors.items()}

    def imported_errors(self) -> dict[System, dict[str, Errors]]:
        """The errors of imported systems, by quantity."""
        stores = self.imported.values()
        return {imported_system(store): self._named(imported_errors(store, self.labels_of)) for store in stores}

    def _named(self, errors: Mapping[str, Errors]) -> dict[str, Errors]:
        """The errors with the reference in the names of their quantities, and of what they are from."""
        return {
            on_reference(quantity, self.name): replace(
                each, sources=tuple(on_path(path, self.at) for path in each.sources)
            )
            for quantity, each in errors.items()
            if quantity in JUDGED
        }


def on_other_images(name: str, published: PublishedTable, settings: Settings, inputs: Inputs) -> Reference:
    """The same systems on other images, with labels of their own."""
    at = file_name(name)
    evaluations = published.evaluations(settings.seeds)
    stores = open_evaluations(inputs.results(published.number), evaluations, read_scores, at)
    imported = open_imported(inputs, settings, at) if published.compares_methods else {}
    first = next(iter((*stores.values(), *imported.values())), None)
    notes = []
    if first is not None:
        notes.append(
            f"{name}: {first.metadata['data set']}, {len(first):,} other images of the same {first.classes:,} classes. The "
            "paper printed nothing for them: the columns are compared with none of its numbers."
        )
    return Reference(name, stores, imported, at=at, notes=tuple(notes))


def on_other_labels(
    folder: Path, settings: Settings, stores: Mapping[str, Scores], imported: Mapping[str, ImportedStore]
) -> Reference:
    """The same scores, judged by the labels in a folder; what is of images that these do not label is left out.

    Raises ValueError for labels that the settings do not name.
    """
    sets = read_label_sets(folder)
    name = sets.metadata["name"]
    if name not in settings.labels:
        raise ValueError(f"{folder}: the settings name no labels {name!r}: add them to labels, or leave them out")
    ours = stores if any(sets.of(store.ids) is not None for store in list(stores.values())[:1]) else {}
    theirs = {path: store for path, store in imported.items() if sets.of(store.ids) is not None}
    left_out = [store.metadata["name"] for path, store in imported.items() if path not in theirs]
    notes = _notes(sets, sorted([*(["ours"] if len(ours) < len(stores) else []), *left_out]))
    return Reference(name, ours, theirs, partial(_labels_of, sets=sets), notes=tuple(notes))


def _labels_of(store: ImportedStore, *, sets: LabelSets) -> NDArray[np.int64]:
    labels = sets.of(store.ids)
    assert labels is not None, "stores of other images were left out"
    return labels


def _notes(sets: LabelSets, left_out: Sequence[str]) -> Iterator[str]:
    """What the labels are, what is right by them, and what they do not label."""
    about, counted = sets.metadata, int((sets.labels[:, 0] >= 0).sum())
    none = len(sets.ids) - counted
    yield (
        f"{about['name']}: labels from {about['file']} (SHA-256 {about['digest'][:12]}) of {counted:,} of {len(sets.ids):,} "
        f"images of {about['data set']}; the {none:,} without a label are left out. A prediction is right if it is among the "
        "labels of its image; of top-5, if one of the five is. The paper printed nothing by these labels: the columns are "
        "compared with none of its numbers."
    )
    if left_out:
        yield f"{about['name']}: has no labels of the images of {', '.join(left_out)}, which are not measured by it."
