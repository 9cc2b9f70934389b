"""Outcomes: which images each system of a table gets wrong. Paired comparisons read them. No torch.

`table` writes them beside the table's cells, as `<name>.npz`, from score stores and box stores, so that comparisons need no
stores. The same results give the same bytes. Nothing in the file is pickled:

about          JSON: table, seeds, and for every entry its row (key columns of tables/published/), quantity, n, digest of the
               image ids, the evaluations that were averaged
<i>.wrong      entry i is an error: uint8 [seeds, N/8], a bit per image, 1 where the prediction is wrong
<i>.values     entry i is a mean precision or recall: float64 [seeds, splits]
<i>.resampled  and its values over resampled images, float64 [seeds, RESAMPLES]; empty where there are several splits
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.files import atomic_file, checked
from vggrepro.paper.systems import System, seeded_mixtures
from vggrepro.scores.ranks import TOP, wrong_images
from vggrepro.scores.statistics import Estimate, nested, of_resamples, of_splits
from vggrepro.scores.stores import LabelsOf, Scores, TopLabels, mixture_ranks, own_labels


@dataclass(frozen=True)
class Errors:
    """Which images a system gets wrong."""

    wrong: NDArray[np.bool_]
    """[seeds, N]."""
    images: str
    """Digest of the images' ids: outcomes with the same digest are of the same images in the same order."""
    sources: tuple[str, ...]
    """The evaluations that were averaged, those of the first seed."""

    @property
    def n(self) -> int:
        """How many images there are."""
        return int(self.wrong.shape[1])

    @property
    def values(self) -> NDArray[np.float64]:
        """[seeds, N]: 1 where the prediction is wrong."""
        return self.wrong.astype(np.float64)


@dataclass(frozen=True)
class Shares:
    """Mean precisions or recalls of SVMs (appendix B), from 0 to 1."""

    values: NDArray[np.float64]
    """[seeds, splits]."""
    resampled: NDArray[np.float64]
    """[seeds, RESAMPLES]: the values over resampled images. The k-th resample holds the same images in every outcome with
    the same digest. [seeds, 0] where there are several splits."""
    n: int
    """Test images (or persons) of a split."""
    groups: int
    """Images that were resampled: persons of one image are drawn together."""
    images: str
    """Digest of the images' ids."""
    sources: tuple[str, ...]
    """The results of SVMs, those of the first seed."""


Outcome = Errors | Shares


@dataclass(frozen=True)
class OutcomeEntry:
    """The outcome of one row of a table in one quantity."""

    row: Mapping[str, str]
    """All key columns of the row in `tables/published/`, as printed there."""
    quantity: str
    """`top-1`, `top-5`, or the name of a task of appendix B."""
    outcome: Outcome


@dataclass(frozen=True)
class Outcomes:
    """All outcomes of a table."""

    table: str
    """Its number, such as `3`, or `text`."""
    seeds: tuple[int, ...]
    entries: tuple[OutcomeEntry, ...] = ()


SystemOutcomes = Mapping[System, Mapping[str, Outcome]]
"""The outcome of each system that was run, by quantity: errors of top-1 and top-5, or localisation; or a user's quantity."""


def classification_errors(
    systems: Iterable[System],
    seeds: Sequence[int],
    stores: Mapping[str, Scores | TopLabels],
    labels_of: LabelsOf = own_labels,
) -> dict[System, dict[str, Errors]]:
    """Which images each system gets wrong, for every seed, by top-1 and by top-5: of systems whose `stores` are all there.

    `stores` are by path. Every store is read once for all systems; images without a label are left out. Raises ValueError as
    `mixture_ranks` does.
    """
    mixtures = seeded_mixtures(systems, seeds, stores)
    needed = {path: stores[path] for mixture in mixtures.values() for path in mixture}
    ranks = mixture_ranks(needed, mixtures, labels_of)
    errors = {}
    for system in dict.fromkeys(system for system, _ in mixtures):
        store = stores[next(iter(mixtures[system, seeds[0]]))]
        counted = labels_of(store)[:, 0] >= 0
        images = ids_digest(np.array(store.ids)[counted].tolist())
        sources = tuple(member.path for member, _ in system)
        errors[system] = {
            top: Errors(np.stack([wrong_images(ranks[system, seed], top)[counted] for seed in seeds]), images, sources)
            for top in TOP
        }
    return errors


def relative_difference(first: Errors, second: Errors) -> Estimate | None:
    """How much higher the error of `first` is, relative to that of `second`; None where the second is 0."""
    x, y = first.values, second.values
    if y.mean() == 0:
        return None
    ratio, scale = x.mean() / y.mean(), 1 / y.mean()
    # x - ratio * y is each image's influence on the value, to first order
    influence = nested(x - ratio * y)
    return replace(influence.scaled(scale), mean=float(ratio - 1))


def estimated_share(outcome: Shares) -> Estimate:
    """The mean over seeds and splits, and its variance by the choice of images or splits."""
    if outcome.resampled.size:
        return of_resamples(outcome.values[:, 0], outcome.resampled, outcome.groups)
    return of_splits(outcome.values, outcome.n)


def ids_digest(ids: Sequence[str]) -> str:
    """The digest of image ids in their order."""
    return hashlib.sha256("".join(f"{name}\n" for name in ids).encode()).hexdigest()


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write a file of outcomes atomically."""
    arrays: dict[str, NDArray[Any]] = {}
    entries = []
    for i, entry in enumerate(outcomes.entries):
        outcome = entry.outcome
        about: dict[str, Any] = {
            "row": dict(entry.row),
            "quantity": entry.quantity,
            "n": outcome.n,
            "images": outcome.images,
            "sources": list(outcome.sources),
        }
        if isinstance(outcome, Errors):
            arrays[f"{i}.wrong"] = np.packbits(outcome.wrong, axis=1)
        else:
            about["groups"] = outcome.groups
            arrays |= {f"{i}.values": outcome.values, f"{i}.resampled": outcome.resampled}
        entries.append(about)
    header = json.dumps({"table": outcomes.table, "seeds": list(outcomes.seeds), "entries": entries}, sort_keys=True)
    # an open file, because numpy adds its suffix to a path that lacks it
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, about=np.array(header), **arrays)  # type: ignore[arg-type]


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file of `write_outcomes`; a ValueError that names it where it is missing or damaged."""
    with checked(path, "make the table again"), np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        entries = [_entry(entry, i, file) for i, entry in enumerate(about["entries"])]
        return Outcomes(about["table"], tuple(about["seeds"]), tuple(entries))


def _entry(about: Mapping[str, Any], i: int, file: Mapping[str, NDArray[Any]]) -> OutcomeEntry:
    n, images, sources = int(about["n"]), about["images"], tuple(about["sources"])
    outcome: Outcome
    if f"{i}.wrong" in file:
        outcome = Errors(np.unpackbits(file[f"{i}.wrong"], axis=1, count=n).astype(bool), images, sources)
    else:
        outcome = Shares(file[f"{i}.values"], file[f"{i}.resampled"], n, int(about["groups"]), images, sources)
    return OutcomeEntry(about["row"], about["quantity"], outcome)
