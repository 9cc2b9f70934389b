"""What a pack says of itself: its version, settings, the rules that its tables were made by, and each file. No torch."""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vggrepro.core import limits
from vggrepro.core.checksums import SNAKEMAKES
from vggrepro.core.files import DAMAGE, file_digest, open_zip, same_on_disk
from vggrepro.core.paths import ROOT
from vggrepro.core.recipes import RECIPES
from vggrepro.core.records import Provenance
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.data.writer import free_bytes
from vggrepro.packs.members import SORTED, Digest, Member, read_member
from vggrepro.packs.origin import files_of_a_machine
from vggrepro.settings.models import Settings

MANIFEST = "pack.json"
FORM = "vggrepro pack"
"""What every manifest calls itself."""
PACK_VERSION = 1
"""Of the form."""

MEASURED = ("runs", "scores", "boxes", "answers", "splits", "transfer", "why")
"""Folders of results that a pack always holds."""
CONTINUED = ("features",)
"""Those that it holds with the weights, because they are as large, and one needs them to continue."""
TABLES = "tables"
FOLDERS = {*MEASURED, *CONTINUED, TABLES, RECIPES}
ENDINGS = {".json", ".csv", ".npy", ".txt", ".safetensors", ".xxh128"}
"""Of the files of a pack: none is a program."""

RULE_FILES = ("tables/protocol.yaml", "tables/releases.yaml", "tables/tolerances.yaml", "tables/published/*")
"""Files of the checkout that decide what a table says of scores."""


class Manifest(FrozenModel):
    """`pack.json`."""

    form: str
    version: int
    settings: dict[str, Any]
    """Of the result; paths are their last parts."""
    rules: dict[str, Digest]
    """SHA-256 of the files that decide what a table says of scores."""
    files: dict[str, Member]
    made: Provenance


def rules_here() -> dict[str, str]:
    """SHA-256 of this checkout's rules, by file."""
    files = sorted(file for pattern in RULE_FILES for file in ROOT.glob(pattern))
    return {file.relative_to(ROOT).as_posix(): file_digest(file) for file in files}


@dataclass(frozen=True)
class Pack:
    """A pack whose manifest was read; its files have not been."""

    path: Path
    manifest: Manifest
    settings: Settings

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    def unpack(self, folder: Path) -> None:
        """Write all files below `folder`; a ValueError that names the first that is not the file of its digest."""
        with open_zip(self.path) as archive:
            for name, member in self.manifest.files.items():
                read_member(archive, name, member, folder / name)


def open_pack(path: Path) -> Pack:
    """Read the manifest of a pack.

    Raises ValueError for another kind of file, a newer form, and members that are not in the manifest, have names that no
    result has, or become more bytes than an honest pack.
    """
    if path.is_dir():
        raise ValueError(f"{path}: expected a zip that `vggrepro pack` wrote, got a folder: pack it first")
    with open_zip(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        manifest = _read_manifest(path, archive, members)
        if problem := _wrong_members(members, manifest):
            raise ValueError(f"{path}: {problem}: get the pack again")
    settings = validated(Settings, manifest.settings, f"{path}: settings")
    if named := files_of_a_machine(settings):
        raise ValueError(
            f"{path}: settings: {named[0]} names files of a machine, which no pack does: get the pack again"
        )
    return Pack(path, manifest, settings)


def _read_manifest(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> Manifest:
    if MANIFEST not in members:
        raise ValueError(
            f"{path}: expected a zip that `vggrepro pack` wrote, but it has no {MANIFEST}: name another file"
        )
    if (size := members[MANIFEST].file_size) > limits.PACKED_TEXT_BYTES:
        raise ValueError(f"{path}: {MANIFEST} has {size:,} bytes, expected at most {limits.PACKED_TEXT_BYTES:,}")
    try:
        values = json.loads(archive.read(MANIFEST))
        form, version = values["form"], values["version"]
    except (*DAMAGE, RuntimeError) as error:
        raise ValueError(f"{path}: {MANIFEST} cannot be read ({error}): get the pack again") from None
    if form != FORM or not isinstance(version, int):
        raise ValueError(f"{path}: {MANIFEST} is of another program: expected a zip that `vggrepro pack` wrote")
    if version > PACK_VERSION:
        raise ValueError(
            f"{path}: a pack of version {version}, and this program reads up to version {PACK_VERSION}: update vggrepro"
        )
    return validated(Manifest, values, f"{path}: {MANIFEST}")


def _wrong_members(members: dict[str, zipfile.ZipInfo], manifest: Manifest) -> str:
    """What forbids to unpack a pack; empty where nothing does."""
    files = {name: info for name, info in members.items() if name != MANIFEST}
    if other := sorted(set(files) ^ set(manifest.files)):
        where = f"is not in {MANIFEST}" if other[0] in files else f"is in {MANIFEST} alone"
        return f"{other[0]!r} {where}"
    if strange := [name for name in files if not _is_a_result(name)]:
        return f"{strange[0]!r} is no file of results"
    if special := [name for name, info in files.items() if not _is_regular(info)]:
        return f"{special[0]!r} is a link, a device or a folder"
    if same := same_on_disk(files):
        return f"{same[0]!r} is the name of several files"
    for name, info in files.items():
        if info.file_size != manifest.files[name].bytes:
            return f"{name!r} has {info.file_size:,} bytes, but {MANIFEST} says {manifest.files[name].bytes:,}"
        if PurePosixPath(name).suffix not in SORTED and info.file_size > limits.PACKED_TEXT_BYTES:
            return f"{name!r} has {info.file_size:,} bytes, expected at most {limits.PACKED_TEXT_BYTES:,}"
    size, packed = (sum(getattr(info, kind) for info in files.values()) for kind in ("file_size", "compress_size"))
    if size > limits.PACK_BYTES or size > limits.PACK_RATIO * packed + limits.PACK_SMALL:
        return f"unpacks from {packed:,} to {size:,} bytes, more than results do"
    return ""


def _is_a_result(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = [part for part in path.parts if part.startswith(".") and part != SNAKEMAKES]
    known = path.name == SNAKEMAKES or path.suffix in ENDINGS
    return len(path.parts) > 1 and path.parts[0] in FOLDERS and known and not hidden


def _is_regular(info: zipfile.ZipInfo) -> bool:
    mode = info.external_attr >> 16
    return not info.is_dir() and (stat.S_IFMT(mode) in (0, stat.S_IFREG))


def check_space(packs: list[Pack], folder: Path) -> None:
    """A ValueError where the disk of a folder has no room for packs and for what is made of them."""
    needed = sum(member.bytes for pack in packs for member in pack.manifest.files.values())
    if needed > (free := free_bytes(folder)):
        raise ValueError(
            f"{folder}: {needed:,} bytes are needed, and {free:,} are free: make room, or name another disk"
        )
