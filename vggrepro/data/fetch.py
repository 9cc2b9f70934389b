"""Data sets, labels and nets of others, fetched: one at a time, compared with their digests, put in place whole. No torch.

Nothing is unpacked: archives are read as they come. A file that is there already, by whatever way, is compared and kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vggrepro.core.files import lock, write_json
from vggrepro.data.transport import Part, download
from vggrepro.settings.downloads import FETCHED_FILE, DownloadFile, downloads, find_download, place_of, sizes

BYTES_PER_READ = 1 << 20
FileDigests = Mapping[str, str]
"""Of a file, by algorithm."""


def fetch(name: str, *, folder: Path, mirror: str | None = None, proxy: str | None = None) -> Path:
    """Bring an entry of the list of downloads below `folder`, and write its record beside it; the place of what was fetched.

    `mirror` is an address in whose place the files lie under their own names. Raises ValueError for an entry that does not
    exist or is never fetched, and where a file cannot be fetched or is not the one that its digest is of.
    """
    entry, place = find_download(name), place_of(name, str(folder))
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        files = {file.name: _fetch_file(file, home, mirror, proxy) for file in entry.files}
        write_json(home / FETCHED_FILE, {"name": name, "files": files})
    return Path(place)


def plan_of(name: str, folder: Path) -> Iterator[str]:
    """What fetching an entry would bring, a line for each file."""
    entry, home = find_download(name), folder / name
    if entry.by_hand:
        yield entry.by_hand
        return
    yield f"{name}: {entry.what}; to {place_of(name, str(folder))}"
    for file, line in zip(entry.files, sizes(entry), strict=True):
        here = _part(home / file.name).bytes
        state = "is here" if (home / file.name).is_file() else f"{here:,} bytes of it are here" if here else ""
        yield f"  {line}{f' ({state})' if state else ''}"


def list_downloads() -> Iterator[str]:
    """All that may be fetched, a line for each entry."""
    for name, entry in downloads().items():
        size = "by hand" if entry.by_hand else f"{entry.bytes / 1e6:,.1f} MB" if entry.bytes else "size not known"
        yield f"{name:30} {size:>14}  {entry.what}"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """A block that one process runs at a time; another one waits."""
    with (home / ".lock").open("w") as file:
        if not lock(file):
            print(f"{home}: another process fetches it: waits", file=sys.stderr, flush=True)
            lock(file, wait=True)
        yield


def _fetch_file(file: DownloadFile, home: Path, mirror: str | None, proxy: str | None) -> dict[str, object]:
    """A file, fetched unless the right one is there; what its record says."""
    target, url = home / file.name, f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
    digests = _digests(target) if target.is_file() else None
    if digests is None or not _is_expected(file, digests):
        if digests is not None:
            print(f"{target}: {_difference(file, digests)}: fetches it again", file=sys.stderr, flush=True)
        digests = _bring(file, url, target, proxy)
    print(f"{target}: {_compared(file, digests)}", file=sys.stderr, flush=True)
    return {"bytes": target.stat().st_size, "sha256": digests["sha256"], "compared": file.digest}


def _bring(file: DownloadFile, url: str, target: Path, proxy: str | None) -> FileDigests:
    """Fetch a file and put it in its place; its digests. A part of another file is thrown away and the whole fetched anew."""
    part = _part(target)
    while True:
        continued = part.bytes > 0
        download(url, part, size=file.bytes, will_be_compared=file.digest is not None, proxy=proxy)
        digests = _digests(part.path)
        if _is_expected(file, digests) and not (file.digest is None and _is_page(part.path)):
            part.put_in_place(target)
            return digests
        page = " It is a web page: an error, or a question that a browser has to answer." if _is_page(part.path) else ""
        part.remove()
        if not continued:
            raise ValueError(
                f"{url}: {_difference(file, digests)}: it was thrown away.{page} Fetch it elsewhere and put it at {target}, "
                "or give --mirror"
            )
        print(f"{url}: the part that was here is of another file: fetches all of it", file=sys.stderr, flush=True)


def _part(target: Path) -> Part:
    return Part(target.with_name(f".{target.name}.part"))


def _digests(path: Path) -> FileDigests:
    """The digests of a file by all algorithms of the list."""
    hashers = {name: hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha1", "sha256")}
    with path.open("rb") as file:
        while block := file.read(BYTES_PER_READ):
            for hasher in hashers.values():
                hasher.update(block)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


def _is_expected(file: DownloadFile, digests: FileDigests) -> bool:
    return digests[file.algorithm].startswith(file.expected)


def _difference(file: DownloadFile, digests: FileDigests) -> str:
    return f"its {file.algorithm.upper()} is {digests[file.algorithm]}, expected {file.expected or 'a file'}"


def _compared(file: DownloadFile, digests: FileDigests) -> str:
    """What is known of a file by its digest."""
    if not file.expected:
        return f"could not be checked, because nobody says its digest; its SHA-256 is {digests['sha256']}"
    relation = "begins with" if len(file.expected) == 8 else "is"
    return f"checked, its {file.algorithm.upper()} {relation} {file.expected}"


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
