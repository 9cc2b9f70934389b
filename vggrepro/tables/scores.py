"""Tables 3 to 7 and the numbers in the text: classification errors of averaged posteriors (section 4). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.systems import Imported, System, evaluations_of, with_seed
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.outcomes import Errors, ids_digest
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.stores import Scores, mixture_ranks, open_evaluations, read_scores
from vggrepro.settings.models import Settings
from vggrepro.tables.imported import (
    ImportedStore,
    open_imported,
    systems_measurement,
)
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.systems import (
    data_notes,
    measured_systems,
    papers_images,
    seeded_evaluations,
)


def measure_scores(published: PublishedTable, settings: Settings, inputs: Inputs) -> Measurement:
    """The errors of every row, from the score stores of its evaluations and, where methods are compared, imported stores.

    Raises ValueError for stores that are damaged, of other evaluations, or of different images.
    """
    folder = inputs.results(published.number)
    stores = open_evaluations(folder, seeded_evaluations(published, settings.seeds), read_scores)
    imported = open_imported(published, settings, inputs)
    errors = _classification_errors(published, settings, stores, imported)
    papers = all(map(papers_images, stores.values()))
    return systems_measurement(published, settings, errors, imported, notes=_notes(stores, settings), papers=papers)


def _notes(stores: Mapping[str, Scores], settings: Settings) -> tuple[str, ...]:
    if not stores:
        return ("Nothing of ours was run for this table.",)
    return data_notes(next(iter(stores.values())), settings)


def _classification_errors(
    published: PublishedTable, settings: Settings, ours: Mapping[str, Scores], imported: Mapping[str, ImportedStore]
) -> dict[System, dict[str, Errors]]:
    """The errors of every system whose evaluations were all run; every store is read once for all systems."""
    # an imported system alone may be of other images: it is measured apart
    systems = [system for system in measured_systems(published) if evaluations_of(system) or len(system) > 1]
    fused = {member for system in systems for member, _ in system if isinstance(member, Imported)}
    stores = {**ours, **{member.path: imported[member.name] for member in fused if member.name in imported}}
    mixtures = {
        (system, seed): {member.path: weight for member, weight in with_seed(system, seed)}
        for system in systems
        for seed in settings.seeds
    }
    ranks = mixture_ranks(stores, {key: mixture for key, mixture in mixtures.items() if set(mixture) <= set(stores)})
    images = ids_digest(next(iter(stores.values())).ids) if stores else ""
    return {
        system: _errors([ranks[system, seed] for seed in settings.seeds], system, images)
        for system in systems
        if all((system, seed) in ranks for seed in settings.seeds)
    }


def _errors(ranks: Sequence[NDArray[np.int32]], system: System, images: str) -> dict[str, Errors]:
    """The errors of a system from the ranks [N] of each seed."""
    sources = tuple(member.path for member, _ in system)
    return {top: Errors(np.stack([wrong_images(of_seed, top) for of_seed in ranks]), images, sources) for top in TOP}
