"""What the errors of a table are measured on: the data set's validation images, and every reference beside them. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.references import AT, on_path, on_reference
from vggrepro.paper.runs import file_name
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.label_sets import LabelSets, read_label_sets
from vggrepro.scores.outcomes import Errors, ids_digest
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import (
    LabelsOf,
    Scores,
    TopLabels,
    open_evaluations,
    own_labels,
    read_scores,
    read_scores_or_labels,
)
from vggrepro.settings.models import Settings
from vggrepro.tables.measurement import Inputs

ImportedStore = Scores | TopLabels


@dataclass(frozen=True)
class Reference:
    """Images and labels that errors are measured on."""

    name: str
    """Empty for the data set's own."""
    stores: Mapping[str, Scores]
    """Of our evaluations, by path."""
    imported: Mapping[str, ImportedStore]
    """Of imported systems, by name."""
    labels_of: LabelsOf = own_labels
    at: str = ""
    """The name in paths of other images; empty where scores of the validation images are judged."""
    notes: tuple[str, ...] = ()

    def errors(
        self, ranks: Sequence[NDArray[np.int32]], store: ImportedStore, sources: tuple[str, ...]
    ) -> dict[str, Errors]:
        """The errors of a system by quantity, from the ranks [N] of each seed; `store` says which images, and which count."""
        counted = self.labels_of(store)[:, 0] >= 0
        images = ids_digest(np.array(store.ids)[counted].tolist())
        return {
            on_reference(top, self.name): Errors(
                np.stack([wrong_images(of_seed, top)[counted] for of_seed in ranks]),
                images,
                tuple(on_path(path, self.at) for path in sources),
            )
            for top in TOP
        }


def open_references(
    published: PublishedTable,
    settings: Settings,
    inputs: Inputs,
    stores: Mapping[str, Scores],
    imported: Mapping[str, ImportedStore],
) -> tuple[Reference, ...]:
    """The data set's own images and labels, of which the stores are, then every reference of a table that averages.

    Raises ValueError for labels that the settings do not name.
    """
    own = Reference("", stores, imported)
    relabelled = (_relabelled(own, sets) for sets in _label_sets(published, settings, inputs))
    elsewhere = settings.validation if published.kind.averages else {}
    return (own, *relabelled, *(_on_other_images(name, published, settings, inputs) for name in elsewhere))


def _on_other_images(name: str, published: PublishedTable, settings: Settings, inputs: Inputs) -> Reference:
    """The same systems on other images, with labels of their own."""
    at = file_name(name)
    evaluations = published.evaluations(settings.seeds)
    stores = open_evaluations(inputs.results(published.number), evaluations, read_scores, at)
    imported = open_imported(published, settings, inputs, at)
    first = next(iter((*stores.values(), *imported.values())), None)
    notes = []
    if first is not None:
        notes.append(
            f"{name}: {first.metadata['data set']}, {len(first):,} other images of the same {first.classes:,} classes. The "
            "paper printed nothing for them: the columns are compared with none of its numbers."
        )
    return Reference(name, stores, imported, at=at, notes=tuple(notes))


def open_imported(
    published: PublishedTable, settings: Settings, inputs: Inputs, at: str = ""
) -> dict[str, ImportedStore]:
    """The imported stores by the names of their systems, on the validation images or on those that `at` names in paths.

    None for a table that does not compare methods. Raises ValueError for a system that the settings do not import.
    """
    stores = {}
    for folder in inputs.imported if published.compares_methods else ():
        if folder.name.partition(AT)[2] != at:
            continue
        store = read_scores_or_labels(folder)
        name = store.metadata["name"]
        if name not in settings.imported:
            raise ValueError(f"{folder}: the settings import no {name!r}: add it to imported, or leave it out")
        stores[name] = store
    return stores


def _label_sets(published: PublishedTable, settings: Settings, inputs: Inputs) -> Iterator[LabelSets]:
    for folder in inputs.labels if published.kind.averages else ():
        sets = read_label_sets(folder)
        if sets.metadata["name"] not in settings.labels:
            raise ValueError(
                f"{folder}: the settings name no labels {sets.metadata['name']!r}: add them to labels, or leave them out"
            )
        yield sets


def _relabelled(own: Reference, sets: LabelSets) -> Reference:
    """The same scores, judged by other labels; what is of images that these do not label is left out."""
    ours = own.stores if any(sets.of(store.ids) is not None for store in list(own.stores.values())[:1]) else {}
    imported = {name: store for name, store in own.imported.items() if sets.of(store.ids) is not None}
    left_out = [*(["ours"] if len(ours) < len(own.stores) else []), *(set(own.imported) - set(imported))]
    return Reference(
        sets.metadata["name"],
        ours,
        imported,
        partial(_labels_of, sets=sets),
        notes=tuple(_notes(sets, sorted(left_out))),
    )


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
