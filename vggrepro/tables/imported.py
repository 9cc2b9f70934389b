"""Systems of others in the tables that compare methods (7 and 10): stores, errors, and a note on each. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from vggrepro.paper.references import place_on_path
from vggrepro.paper.systems import Imported, System, is_imported
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.outcomes import Errors, Outcome, classification_errors, ids_digest
from vggrepro.scores.ranks import TOP
from vggrepro.scores.statistics import nested_interval
from vggrepro.scores.stores import LabelsOf, Scores, TopLabels, own_labels, read_scores_or_labels
from vggrepro.settings.models import Settings
from vggrepro.tables.measurement import Inputs

ImportedStore = Scores | TopLabels


def open_imported(inputs: Inputs, settings: Settings, at: str = "") -> dict[str, ImportedStore]:
    """The imported stores by the paths of their systems, on the validation images or on those that `at` names in paths.

    Raises ValueError for a system that the settings do not import.
    """
    stores = {}
    for folder in inputs.imported:
        if place_on_path(folder.name) != at:
            continue
        store = read_scores_or_labels(folder)
        name = store.metadata["name"]
        if name not in settings.imported:
            raise ValueError(f"{folder}: the settings import no {name!r}: add it to imported, or leave it out")
        stores[Imported(name).path] = store
    return stores


def imported_system(store: ImportedStore) -> System:
    """The system that an imported store is of; it is a row of its own, whatever the seeds of ours."""
    return ((Imported(store.metadata["name"]), Fraction(1)),)


def imported_errors(store: ImportedStore, labels_of: LabelsOf = own_labels) -> dict[str, Errors]:
    """Which of its images an imported system gets wrong, by quantity: top-1, top-5 and, with boxes, localisation.

    Lists that name fewer than five labels for every image have no top-5 error.
    """
    system = imported_system(store)
    path = system[0][0].path
    errors = classification_errors([system], (0,), {path: store}, labels_of)[system]
    if isinstance(store, TopLabels) and (store.predicted >= 0).sum(1).max() < min(TOP["top-5"], store.classes):
        del errors["top-5"]
    if isinstance(store, TopLabels) and store.boxes is not None:
        missed, counted = store.boxes
        ids = np.array(store.ids)[counted].tolist()
        errors["localisation"] = Errors(missed[None, counted], ids_digest(ids), (path,))
    return errors


def imported_notes(
    published: PublishedTable, stores: Mapping[str, ImportedStore], outcomes: Mapping[System, Mapping[str, Outcome]]
) -> tuple[str, ...]:
    """The notes on imported systems: what each is, and how it compares with the others in the table, in pairs of images."""
    return (*map(imported_note, stores.values()), *imported_comparisons(published, _compared(published, outcomes)))


def imported_comparisons(published: PublishedTable, errors: Mapping[System, Mapping[str, Errors]]) -> tuple[str, ...]:
    """How much more each imported system errs than every other system of the same images, in pairs of images, as notes."""
    names = {
        row.system: ", ".join(value for value in row.keys.values() if value) for row in published.rows if row.system
    }
    theirs = [system for system in errors if is_imported(system)]
    notes = []
    for place, system in enumerate(theirs):
        earlier = theirs[:place]
        for quantity, wrong in errors[system].items():
            others = [
                other for other in errors if other != system and other not in earlier and quantity in errors[other]
            ]
            same = [other for other in others if errors[other][quantity].images == wrong.images]
            texts = [f"{names.get(other, other)}: {_difference(wrong, errors[other][quantity])}" for other in same]
            if texts:
                notes.append(
                    f"{names.get(system, system)}, {quantity} error less that of others, image by image, in points (95%, "
                    f"of the choice of images and of these systems as they are): {'; '.join(texts)}."
                )
            elif others:
                notes.append(f"{names.get(system, system)}, {quantity}: other images than ours, not compared in pairs.")
    return tuple(notes)


def _difference(first: Errors, second: Errors) -> str:
    """The paired difference of two errors in points, with its interval: `+1.20 (+0.80 to +1.60)`."""
    differences = first.wrong.mean(0, keepdims=True) - second.wrong.astype(np.float64)
    low, high = nested_interval(differences)
    return f"{100 * differences.mean():+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _compared(
    published: PublishedTable, outcomes: Mapping[System, Mapping[str, Outcome]]
) -> dict[System, dict[str, Errors]]:
    """The errors that imported systems are compared with: of the table's own rows, not of variants."""
    variants = {row.system for row in published.rows if row.varies is not None}
    return {
        system: {quantity: each for quantity, each in by_quantity.items() if isinstance(each, Errors)}
        for system, by_quantity in outcomes.items()
        if system not in variants
    }


def imported_note(store: ImportedStore) -> str:
    """What an imported system gave for how many images, from which file, and what was done to it or accepted."""
    kind = "labels" if isinstance(store, TopLabels) else "posteriors"
    metadata = store.metadata
    reading = metadata.get("as", {})
    accepted = {"chance": "an error near chance", "order": "lists that do not seem to be best first"}
    more = [reading["numbers"]] if reading.get("numbers") else []
    more += [reading["labels"]] if reading.get("labels", "best first") != "best first" else []
    more += [f"accepted by the user: {accepted[what]}" for what in reading.get("accepted", [])]
    return (
        f"{metadata['name']}: {kind} of {len(store):,} images of {metadata['data set']} from {metadata['file']} (SHA-256 "
        f"{metadata['digest'][:12]}), judged here{''.join(f'; {text}' for text in more)}."
    )
