"""What may be fetched: `tables/downloads.yaml`, read and checked, and the places of files that are fetched. No network.

Wherever the settings name a file or a data set, `fetch:NAME` stands for the place of an entry of that list, and `fetch` alone
for the entry that the setting usually has: `tiny_imagenet=fetch`, `released='{D: fetch}'`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, nearest_hint, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.systems import released_run
from vggrepro.settings.fields import NonEmptyText

DOWNLOADS_FILE = ROOT / "tables" / "downloads.yaml"
FETCH = "fetch"
FETCHED_FILE = "fetched.json"
"""Lies beside the files of an entry that was fetched: the digests that they have."""
DIGEST_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64}
"""Hexadecimal digits of a whole digest."""

Recipe = Literal["the authors", "torchvision", "mmpretrain"]
"""Those whose way of training a net is known: entries of `tables/releases.yaml`."""


class DownloadFile(FrozenModel):
    """A file of an entry."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    bytes: Annotated[int, Field(ge=1)] | None
    mib: Annotated[float, Field(gt=0)] | None = None
    """Its size in MiB as its source rounds it, where none says how many bytes it has."""
    digest: Annotated[str, Field(pattern=r"^(md5|sha1|sha256):([0-9a-f]{8}|[0-9a-f]{32,64})$")] | None
    source: NonEmptyText

    @property
    def about(self) -> int | None:
        """About how many bytes it has; None where no source says it."""
        return self.bytes or (round(self.mib * 2**20) if self.mib else None)

    @property
    def algorithm(self) -> str:
        """The algorithm of the digest; SHA-256 where no digest is known."""
        return (self.digest or "sha256").partition(":")[0]

    @property
    def expected(self) -> str:
        """The digest, or its first eight digits; empty where none is known."""
        return (self.digest or "").partition(":")[2]


class Download(FrozenModel):
    """An entry of the list."""

    model_config = ConfigDict(populate_by_name=True)

    what: NonEmptyText
    of: tuple[NonEmptyText, ...] = ()
    recipe: Recipe | None = None
    S: tuple[int, int] | None = None
    files: tuple[DownloadFile, ...] = ()
    by_hand: Annotated[str, Field(alias="by hand")] = ""

    @model_validator(mode="after")
    def _one_way(self) -> Download:
        if bool(self.files) == bool(self.by_hand):
            raise ValueError("expected either files or `by hand`")
        return self

    @property
    def bytes(self) -> int | None:
        """The size of all files, about; None where that of one is not known."""
        sizes = [file.about for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size)


@cache
def downloads() -> Mapping[str, Download]:
    """The entries by name; a ValueError that names the file and the key that is wrong."""
    entries = read_yaml(DOWNLOADS_FILE)
    return {name: validated(Download, entry, f"{DOWNLOADS_FILE}: {name}") for name, entry in entries.items()}


def find_download(name: str) -> Download:
    """The entry of a name; a ValueError for one that is not in the list."""
    if name not in downloads():
        known = tuple(downloads())
        raise ValueError(f"nothing is called {name!r}{nearest_hint(name, known)}: expected one of {', '.join(known)}")
    return downloads()[name]


def place_of(name: str, folder: str) -> str:
    """Where an entry lies once it is fetched: its file, or the folder of its files. A ValueError for what is never fetched."""
    download = find_download(name)
    if download.by_hand:
        raise ValueError(download.by_hand)
    return f"{folder}/{name}" + (f"/{download.files[0].name}" if len(download.files) == 1 else "")


def fetched_name(path: str | None, folder: str) -> str | None:
    """The entry whose place a path is; None where it is no place of one."""
    if path is None or not Path(path).is_relative_to(folder):
        return None
    name = Path(path).relative_to(folder).parts[:1]
    known = name[0] if name and name[0] in downloads() and not downloads()[name[0]].by_hand else None
    return known if known and Path(path) == Path(place_of(known, folder)) else None


def record_of(path: str | None, folder: str) -> list[str]:
    """The record of the entry whose place a path is, for a job that reads it; none of another path."""
    name = fetched_name(path, folder)
    return [f"{folder}/{name}/{FETCHED_FILE}"] if name else []


def released_net(**digests: str) -> Download | None:
    """The entry of a released net, by digests of its file such as `sha1="9363..."`; None where the list has no such file."""
    for download in downloads().values():
        for file in download.files:
            digest = digests.get(file.algorithm, "")
            if download.recipe and file.expected and digest.startswith(file.expected):
                return download
    return None


def with_places(values: Mapping[str, Any], folder: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings with the place of an entry for every `fetch` and `fetch:NAME`; and these places.

    Raises ValueError that names the key, for an entry that is not in the list or is never fetched.
    """
    places: list[str] = []

    def resolve(value: Any, key: tuple[str, ...]) -> Any:  # noqa: ANN401
        if isinstance(value, Mapping):
            return {name: resolve(inner, (*key, str(name))) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [resolve(inner, key) for inner in value]
        match = re.fullmatch(rf"{FETCH}(?::(.*))?", value) if isinstance(value, str) else None
        if match is None or (match[1] is None and key[0] not in ("data", "transfer", "released", "labels")):
            return value
        try:
            places.append(place_of(match[1] if match[1] is not None else _usual_entry(key, values), folder))
        except ValueError as error:
            raise ValueError(f"config: {'.'.join(key)}: {error}") from None
        return places[-1]

    return {name: resolve(value, (str(name),)) for name, value in values.items()}, tuple(places)


def _usual_entry(key: tuple[str, ...], values: Mapping[str, Any]) -> str:
    """The entry that `fetch` alone stands for in a setting; a ValueError where it stands for none."""
    of = {
        "data": lambda: str(values["data"].get("layout")).replace("-", "_"),
        "transfer": lambda: key[1],
        "labels": lambda: key[1],
        "released": lambda: released_run(key[1]).label,
    }[key[0]]()
    for name, download in downloads().items():
        if of in download.of:
            return name
    raise ValueError(f"nothing is usually fetched for {of}: write {FETCH}:NAME with one of {', '.join(downloads())}")


def sizes(download: Download) -> Iterator[str]:
    """A line for each file of an entry: its name, size, digest and address."""
    for file in download.files:
        size = f"{file.bytes:,} bytes" if file.bytes else f"{file.mib:,} MiB" if file.mib else "of unknown size"
        digest = f"{file.algorithm} {file.expected}" if file.digest else "no digest known"
        yield f"{file.name}: {size}, {digest}{'...' if len(file.expected) == 8 else ''}, {file.url}"
