"""What is said below a table of what it was measured on: images, nets, seeds, trainings. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from vggrepro.localisation.stores import BoxStore
from vggrepro.paper.ilsvrc import ILSVRC_BLACKLISTED, ILSVRC_CLASSES, ILSVRC_VALIDATION_IMAGES
from vggrepro.scores.stores import Scores
from vggrepro.scores.trainings import TrainingSpread
from vggrepro.settings.models import Settings

ILSVRC_IMAGES = ("ILSVRC-2012", ILSVRC_VALIDATION_IMAGES, ILSVRC_CLASSES)
"""Data set, validation images and classes of the published errors."""


def papers_images(store: Scores | BoxStore) -> bool:
    """Whether a store is of the images and classes that the published errors are of, for boxes less those of the blacklist."""
    return _of_ilsvrc(store) and (isinstance(store, Scores) or _left_out(store) == ILSVRC_BLACKLISTED)


def _of_ilsvrc(store: Scores | BoxStore) -> bool:
    return (store.metadata["data set"], len(store), store.classes) == ILSVRC_IMAGES


def _left_out(store: BoxStore) -> int:
    return int((~store.counted).sum())


def data_notes(stores: Mapping[str, Scores | BoxStore], settings: Settings, why_none: str = "") -> Iterator[str]:
    """On which images errors were measured, that these are others than the paper's if they are, and by which nets."""
    if not stores:
        yield f"Nothing of ours was run for this table{why_none}."
        return
    store = next(iter(stores.values()))
    yield (
        f"Measured on {store.metadata['data set']}, {len(store):,} validation images of {store.classes} classes, preset "
        f"{settings.preset}."
    )
    if isinstance(store, BoxStore):
        yield from _blacklist_note(store)
    if not _of_ilsvrc(store):
        yield (
            "The deltas compare different data: the published errors are of the paper's nets on ILSVRC-2012, "
            f"ours of the {settings.preset} preset's nets on other images. They say nothing about the paper."
        )
    if nets := [f"{run.label} ({Path(release.file).name})" for run, release in settings.releases.items()]:
        yield f"Not trained here, but taken as released: {', '.join(nets)}. What needs other nets is not run."
    if len(settings.seeds) > 1:
        yield f"Mean and standard deviation over the seeds {', '.join(map(str, settings.seeds))}."


def _blacklist_note(store: BoxStore) -> Iterator[str]:
    if left_out := _left_out(store):
        yield f"{left_out:,} blacklisted images are left out of the localisation error."
    elif store.metadata["data set"] == ILSVRC_IMAGES[0]:
        more = f"{ILSVRC_BLACKLISTED:,}"
        yield f"The data set came without ILSVRC's blacklist: all its images count, {more} more than the paper's."


def trainings_note(spreads: Mapping[str, TrainingSpread], other_data: Collection[str]) -> Iterator[str]:
    """What intervals take for granted of trainings; where images are not the paper's, that it may not hold there."""
    quantities: dict[str, list[str]] = {}
    for quantity, spread in spreads.items():
        quantities.setdefault(spread.in_words(elsewhere=quantity in other_data), []).append(quantity)
    if not quantities:
        return
    words = "; ".join(f"{', '.join(names)}: {says}" for says, names in quantities.items())
    yield f"Intervals are of the choice of images and of what training does. {words[0].upper()}{words[1:]}."
