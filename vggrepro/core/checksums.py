"""Checksums: a list of them lies with every result, and a file that is read back is compared with its line first. No torch.

`checksums.xxh128` in a folder is the list of all files below it. Where many jobs write into one folder, each lists its own
files beside them: `tables/table05.xxh128` for `table05.json`, `table05.csv` and so on. `xxhsum --check` reads these lists too.

A list protects against damage, not against forgery. The hash is XXH3, because it is as fast as memory: SHA-256, which records
name data and weights by, would be a fifth of the time in which a table averages its stores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import xxhash

CHECKSUMS_SUFFIX = ".xxh128"
CHECKSUMS = f"checksums{CHECKSUMS_SUFFIX}"
"""The list of a folder."""
SNAKEMAKES = ".snakemake_timestamp"
"""A file that Snakemake adds to a folder that is one of its outputs."""
BYTES_PER_SUM = 1 << 20

_unlisted: list[Path] = []
"""Results without a list that this process has read."""


def data_checksum(data: bytes | memoryview) -> int:
    """The checksum of a piece of a file, below 2^64: of an image in a store, which is compared when the image is read."""
    return xxhash.xxh3_64_intdigest(data)


def file_checksum(path: Path) -> str:
    """The checksum of a file, as lists have it."""
    hasher = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        block = bytearray(BYTES_PER_SUM)
        while count := file.readinto(block):
            hasher.update(memoryview(block)[:count])
    return hasher.hexdigest()


def write_checksums(folder: Path, *, without: Iterable[str] = ()) -> None:
    """List all files below a folder; those `without` are left out, and of a folder that has a list only that is listed."""
    listing, left_out = folder / CHECKSUMS, {SNAKEMAKES, *without}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in left_out)
    write_list(listing, [file for file in files if file != listing and list_of(file) in (None, listing)])


def write_list(path: Path, files: Iterable[Path]) -> None:
    """Write the list at `path`, of files in its folder or below."""
    lines = [f"{file_checksum(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(path)


def check_file(path: Path) -> None:
    """A ValueError unless the file's checksum is the one in its list.

    A result without any list, of a version before lists, is read as it is, and a message says so once.
    """
    path.stat()  # a missing file is no damaged one
    if (listing := list_of(path)) is None:
        _tell_unlisted(path.parent)
    elif (expected := _lines(listing).get(path.relative_to(listing.parent).as_posix())) is None:
        raise ValueError(f"{listing} does not list it")
    elif file_checksum(path) != expected:
        raise ValueError(f"its bytes are not those that {listing.name} has the checksum of")


def is_listed(path: Path) -> bool:
    """Whether a list covers a file, so that it is one of ours."""
    listing = list_of(path)
    try:
        return listing is not None and path.relative_to(listing.parent).as_posix() in _lines(listing)
    except ValueError:
        return True  # a list that is damaged itself


def recorded_checksum(path: Path) -> str | None:
    """What stands for the content of a file or folder of results, from its list alone; None where there is no list."""
    if path.is_dir():
        lists = [path / CHECKSUMS] if (path / CHECKSUMS).exists() else sorted(path.glob(f"*/{CHECKSUMS}"))
        return xxhash.xxh3_128_hexdigest(b"".join(each.read_bytes() for each in lists)) if lists else None
    listing = list_of(path)
    return _lines(listing).get(path.relative_to(listing.parent).as_posix()) if listing else None


def result_to_delete(path: Path) -> Path:
    """What to delete so that a damaged file is made again: Snakemake's output that holds it, else the listed folder."""
    listing = list_of(path)
    last = listing.parent if listing and listing.name == CHECKSUMS else path
    whole = next((folder for folder in path.parents if (folder / SNAKEMAKES).exists()), last)
    return last if last in whole.parents else whole


def listed_files(listing: Path) -> list[Path]:
    """The files of a list; a ValueError where it is damaged."""
    return [listing.parent / name for name in _lines(listing)]


def list_of(path: Path) -> Path | None:
    """The list that covers a file: its own beside it, or that of the nearest folder that has one."""
    lists = (path.with_suffix(CHECKSUMS_SUFFIX), *(folder / CHECKSUMS for folder in path.parents))
    return next((each for each in lists if each != path and each.exists()), None)


def _lines(listing: Path) -> Mapping[str, str]:
    about = listing.stat()
    return _parsed(listing, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=256)
def _parsed(listing: Path, *version: int) -> Mapping[str, str]:
    """Checksum by name; read once, because a folder of images asks for it at every image."""
    try:
        pairs = [line.split("  ", 1) for line in listing.read_text(encoding="utf-8").splitlines()]
        return {name: checksum for checksum, name in pairs}
    except ValueError:
        raise ValueError(f"{listing} is damaged") from None


def _tell_unlisted(folder: Path) -> None:
    if not _unlisted:
        print(
            f"{folder}: no checksums lie with it, because an older version made it: it is read as it is (as are others like "
            "it). `vggrepro checksums FOLDER --record` adds them",
            file=sys.stderr,
        )
    _unlisted.append(folder)
