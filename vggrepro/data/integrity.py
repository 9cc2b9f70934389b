"""A folder of results compared with its checksums, as after a copy; checksums for results of an older version. No torch."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vggrepro.core.checksums import CHECKSUMS_SUFFIX, SNAKEMAKES, data_checksum, list_of, listed_files, write_checksums
from vggrepro.core.files import checked
from vggrepro.core.recipes import RECIPES, finished_results
from vggrepro.data.store import IMAGES, SUMS, Store

NO_RESULTS = ("logs", "benchmarks", RECIPES, "plan", "state", "slurm")
"""Folders of results whose files no step reads, or that have their own order."""
RECORDS = ("store.json", "made.json", "run.json", "adopted.json", "table*.json")
"""Files of which any folder of results has one."""


def damage_below(results: Path) -> Iterator[str]:
    """A message for every listed file below a folder that is damaged or missing, every damaged image of a store, every folder
    that cannot be read, and every result that is missing though its recipe is there.

    Raises ValueError where there is nothing to compare.
    """
    listings, unreadable = _listings(results)
    missing = [*unreadable, *_missing_results(results)]
    if not listings and not missing:
        raise ValueError(
            f"{results}: nothing to compare: expected lists of checksums, as in results/smoke, got "
            "none: name another folder, or add the lists to results of an older version with --record"
        )
    yield from missing
    for listing in listings:
        yield from _damage_of(listing)


def _listings(results: Path) -> tuple[list[Path], list[str]]:
    """The lists of checksums below a folder, and a message for every folder that cannot be read."""
    errors: list[OSError] = []
    files = [Path(folder, name) for folder, _, names in os.walk(results, onerror=errors.append) for name in names]
    unreadable = [f"{error.filename}: cannot be read: {error.strerror}: let yourself read it" for error in errors]
    return sorted(file for file in files if file.suffix == CHECKSUMS_SUFFIX), unreadable


def _missing_results(results: Path) -> Iterator[str]:
    """A message for every result that was made and is missing; where all of a folder is, one for the folder."""
    if (results / "plan").is_dir() and not (results / RECIPES).is_dir():
        yield f"{results / RECIPES}: missing, though the workflow wrote the results: copy it too, it names what belongs here"
    places = (
        _highest_missing(result, results) for result in finished_results(results) if not _is_there(result, results)
    )
    for place, count in Counter(places).items():
        named = "a result" if count == 1 else f"{count:,} results"
        yield f"{place}: missing, though {RECIPES}/ names {named} there: copy it again, or run snakemake, which makes it again"


def _is_there(result: Path, results: Path) -> bool:
    """Whether a result is there, whole or not: of what has a list, the list says what belongs to it."""
    listing = list_of(result)
    listed = listing is not None and listing.is_relative_to(results)
    return listed or result.is_file() or (result.is_dir() and any(result.iterdir()))


def _highest_missing(path: Path, above: Path) -> Path:
    folders = [folder for folder in path.parents if folder.is_relative_to(above)]
    return next((folder for folder in reversed(folders) if not folder.exists()), path)


def _damage_of(listing: Path) -> Iterator[str]:
    try:
        files = listed_files(listing)
    except ValueError as error:
        yield str(error)
        return
    for file in files:
        yield from _damage(file)
    if (listing.parent / SUMS) in files:
        yield from _damaged_images(listing.parent)


def _damage(file: Path) -> Iterator[str]:
    try:
        with checked(file):
            pass
    except ValueError as error:
        yield str(error)


def _damaged_images(folder: Path) -> Iterator[str]:
    try:
        store = Store(folder)
        for i in range(len(store)):
            store.data(i)
    except ValueError as error:
        yield str(error)


def record_below(results: Path) -> list[Path]:
    """Write the lists that results of an older version lack, as their files are now; the folders that got one.

    Raises ValueError for a folder that is none of results, and for a prepared store whose images are not those that its digest
    is of.
    """
    if not any(any(results.rglob(name)) for name in RECORDS):
        raise ValueError(f"{results}: no results in it: name a folder of results, such as results/smoke")
    units = sorted(results.rglob("store.json")) + sorted(results.rglob(SNAKEMAKES)) + sorted(results.rglob("*.*"))
    recorded = []
    for file in units:
        within = file.relative_to(results).parts
        if within[0] in NO_RESULTS or file.is_dir() or file.suffix == CHECKSUMS_SUFFIX or list_of(file) is not None:
            continue
        folder = file.parent
        if (folder / "store.json").exists():
            _add_sums(folder)
        write_checksums(folder, without=(IMAGES,))
        recorded.append(folder)
    return recorded


def _add_sums(folder: Path) -> None:
    store = Store(folder)
    whole, sums = hashlib.sha256(), np.empty(len(store), np.uint64)
    for i in range(len(store)):
        data = store.data(i).data
        whole.update(hashlib.sha256(data).digest())
        sums[i] = data_checksum(data)
    ids = "".join(f"{name}\n" for name in store.ids)
    blacklisted = "\n".join(store.about["blacklisted"])
    for part in (store.index.tobytes(), store.truth.tobytes(), ids.encode(), blacklisted.encode()):
        whole.update(part)
    if whole.hexdigest() != store.digest:
        raise ValueError(
            f"{folder}: damaged (its images, labels or boxes are not those of its digest): prepare it again"
        )
    np.save(folder / SUMS, sums)
