"""Tables 3 to 7 and the numbers in the text: classification errors of averaged posteriors (section 4). No torch."""

from __future__ import annotations

from collections.abc import Mapping

from vggrepro.paper.systems import Imported, System, evaluations_of
from vggrepro.paper.tables import PublishedTable
from vggrepro.scores.outcomes import Errors, Outcome
from vggrepro.scores.stores import Scores, mixture_ranks, open_evaluations, read_scores
from vggrepro.settings.models import Settings
from vggrepro.tables.measurement import Inputs, Measurement
from vggrepro.tables.measures import measured_quantities
from vggrepro.tables.references import Reference, open_imported, open_references
from vggrepro.tables.systems import data_notes, measured_systems, papers_images, run_mixtures, systems_measurement


def measure_scores(published: PublishedTable, settings: Settings, inputs: Inputs) -> Measurement:
    """The errors of every row, from the score stores of its evaluations and, where methods are compared, imported stores.

    Raises ValueError for stores that are damaged, of other evaluations, or of different images.
    """
    folder = inputs.results(published.number)
    stores = open_evaluations(folder, published.evaluations(settings.seeds), read_scores)
    imported = open_imported(published, settings, inputs)
    references = open_references(published, settings, inputs, stores, imported)
    errors: dict[System, dict[str, Outcome]] = {}
    for reference in references:
        for system, by_quantity in _classification_errors(published, settings, reference).items():
            errors.setdefault(system, {}).update(by_quantity)
    for system, by_own in measured_quantities(published, settings, stores).items():
        errors.setdefault(system, {}).update(by_own)
    papers = all(map(papers_images, stores.values()))
    return systems_measurement(published, settings, errors, references, notes=_notes(stores, settings), papers=papers)


def _notes(stores: Mapping[str, Scores], settings: Settings) -> tuple[str, ...]:
    if not stores:
        return ("Nothing of ours was run for this table.",)
    return data_notes(next(iter(stores.values())), settings)


def _classification_errors(
    published: PublishedTable, settings: Settings, reference: Reference
) -> dict[System, dict[str, Errors]]:
    """The errors of every system whose evaluations were all run; every store is read once for all systems."""
    imported = reference.imported
    # an imported system alone may be of other images: it is measured apart
    systems = [system for system in measured_systems(published) if evaluations_of(system) or len(system) > 1]
    fused = {member for system in systems for member, _ in system if isinstance(member, Imported)}
    stores = {**reference.stores, **{member.path: imported[member.name] for member in fused if member.name in imported}}
    mixtures = run_mixtures(systems, settings.seeds, stores)
    ranks = mixture_ranks(stores, mixtures, reference.labels_of)
    return {
        system: reference.errors(
            [ranks[system, seed] for seed in settings.seeds],
            stores[system[0][0].seeded(settings.seeds[0]).path],
            tuple(member.path for member, _ in system),
        )
        for system in dict.fromkeys(system for system, _ in mixtures)
    }
