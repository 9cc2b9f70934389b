"""A folder of results compared with its checksums, as after a copy; checksums for results of an older version. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vggrepro.core.checksums import CHECKSUMS_SUFFIX, SNAKEMAKES, data_checksum, list_of, listed_files, write_checksums
from vggrepro.core.files import checked
from vggrepro.data.store import IMAGES, SUMS, Store

NO_RESULTS = ("logs", "benchmarks", "recipes", "state", "slurm")
"""Folders of results whose files no step reads, or that have their own order."""


def damage_below(results: Path) -> Iterator[str]:
    """A message for every listed file below a folder that is damaged or missing, and for every damaged image of a store."""
    for listing in sorted(results.rglob(f"*{CHECKSUMS_SUFFIX}")):
        try:
            files = listed_files(listing)
        except ValueError as error:
            yield str(error)
            continue
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

    Raises ValueError for a prepared store whose images are not those that its digest is of.
    """
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
