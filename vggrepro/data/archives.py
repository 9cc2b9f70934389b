"""ILSVRC-2012 read from its published archives, without unpacking them. No torch."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

from vggrepro.core import limits
from vggrepro.core.files import leads_outside
from vggrepro.core.progress import show_progress
from vggrepro.core.text import text_lines

MD5 = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
    "ILSVRC2012_bbox_train_v2.tar.gz": "9271167e2176350e65cfe4e546f14b17",
    "ILSVRC2012_bbox_val_v3.tgz": "f4cd18b5ea29fe6bbea62ec9c20d80f0",
}
"""The published archives and their MD5. Validation images and devkit are needed; training images only to train; the two
archives of boxes only for localisation."""
TRAIN, VAL, DEVKIT, *ANNOTATIONS = MD5
LONGEST_NAME = 1 << 16
"""Bytes of a name that has a member of its own in a tar."""
BLOCK = 1 << 24
"""Bytes that are read at a time for a digest."""


class Archives:
    """The files in ILSVRC's archives, under the names of an unpacked copy; has the methods of `core.files.Files`.

    `train/<wnid>/*.JPEG` from the tar of 1,000 tars, `val/*.JPEG`, `Annotations/{train,val}/...` and the devkit's files.
    """

    def __init__(self, path: Path) -> None:
        """List the files in a folder's archives; a ValueError that names an archive which is missing, damaged, or hostile."""
        self.path = path
        if missing := [name for name in (VAL, DEVKIT) if not (path / name).is_file()]:
            raise ValueError(f"{path}: expected {VAL} and {DEVKIT} beside each other, missing: {', '.join(missing)}")
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._unpacked: dict[str, bytes] = {}
        for name, place in _tar_of_tars(path / TRAIN) if (path / TRAIN).is_file() else ():
            self._places[f"train/{name}"] = place
        for member, place in _members(path / VAL):
            self._places[f"val/{member}"] = place
        self._unpack(path / DEVKIT, "")
        for name, split in zip(ANNOTATIONS, ("train", "val"), strict=True):
            if (path / name).is_file():
                self._unpack(path / name, f"Annotations/{split}/")
        self.names = sorted((*self._places, *self._unpacked))

    def sizes(self) -> dict[str, int]:
        """Bytes of every file."""
        return {name: size for name, (_, _, size) in self._places.items()} | {
            n: len(d) for n, d in self._unpacked.items()
        }

    def read(self, name: str) -> bytes:
        """The bytes of one file; a ValueError that names it if they cannot be read. Safe in many threads."""
        if name in self._unpacked:
            return self._unpacked[name]
        try:
            archive, offset, size = self._places[name]
            if size > limits.FILE_BYTES:
                raise ValueError(f"{archive}: {name} has {size:,} bytes, expected at most {limits.FILE_BYTES:,}")
            data = os.pread(_descriptor(archive), size, offset)
        except (OSError, KeyError) as error:
            raise ValueError(f"{self.path}: {name} cannot be read: {error}") from None
        if len(data) < size:
            raise ValueError(f"{archive}: ends in the middle of {name}: fetch it again")
        return data

    def lines(self, name: str) -> list[str]:
        """The lines of a text file that are not empty."""
        return text_lines(self.read(name))

    def _unpack(self, archive: Path, folder: str) -> None:
        """Keep the files of a small compressed archive in memory."""
        unpacked = 0
        with _damage_named(archive), tarfile.open(archive, "r:gz", tarinfo=TarMember) as tar:
            for member in _files(tar, archive):
                unpacked += member.size
                if unpacked > limits.UNPACKED_BYTES:
                    raise ValueError(f"{archive}: unpacks to more than {limits.UNPACKED_BYTES:,} bytes: fetch it again")
                file = tar.extractfile(member)
                assert file is not None, "a regular file can be read"
                self._unpacked[folder + member.name.removeprefix("./")] = file.read()


def wrong_digests(path: Path) -> dict[Path, str]:
    """A message for each archive in a folder whose MD5 is not the published one."""
    messages = {}
    for name, expected in MD5.items():
        file = path / name
        if not file.is_file():
            continue
        hasher, blocks = hashlib.md5(usedforsecurity=False), -(-file.stat().st_size // BLOCK)
        with file.open("rb") as archive:
            for _ in show_progress(range(blocks), total=blocks, about=name, unit="block"):
                hasher.update(archive.read(BLOCK))
        if hasher.hexdigest() != expected:
            messages[file] = f"{file}: expected MD5 {expected}, as published, got {hasher.hexdigest()}: fetch it again"
    return messages


def _tar_of_tars(archive: Path) -> Iterator[tuple[str, tuple[Path, int, int]]]:
    """(WNID/name, (archive, offset, bytes)) of the images in the training archive, which holds a tar for each class."""
    with archive.open("rb") as file:
        classes = list(_members(archive))
        for name, (_, offset, _) in show_progress(classes, total=len(classes), about=archive.name, unit="class"):
            file.seek(offset)
            with _damage_named(archive), tarfile.open(fileobj=file, mode="r:", tarinfo=TarMember) as inner:
                for member in _files(inner, archive):
                    yield f"{name.removesuffix('.tar')}/{member.name}", (archive, member.offset_data, member.size)


def _members(archive: Path) -> Iterator[tuple[str, tuple[Path, int, int]]]:
    """(name, (archive, offset, bytes)) of the files in a tar."""
    with _damage_named(archive), tarfile.open(archive, "r:", tarinfo=TarMember) as tar:
        for member in _files(tar, archive):
            yield member.name.removeprefix("./"), (archive, member.offset_data, member.size)


class TarMember(tarfile.TarInfo):
    """A member of a tar, whose size is checked before `tarfile` goes on by it: a negative one would lead it back for ever."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The member that a header describes; a ReadError for an impossible size."""
        member = super().frombuf(buf, encoding, errors)
        # a long name is a member of its own, which is read as a whole
        if member.size < 0 or (not member.isfile() and member.size > LONGEST_NAME):
            raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
        return member


def _files(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """The files in a tar."""
    for number, member in enumerate(tar):
        # otherwise all members stay in memory, a kilobyte each
        tar.members = []  # type: ignore[attr-defined]
        if number > limits.MEMBERS:
            raise ValueError(f"{archive}: has more than {limits.MEMBERS:,} files: fetch it again")
        if _is_file(member, archive):
            yield member


def _is_file(member: tarfile.TarInfo, archive: Path) -> bool:
    """Whether a member is a file; a ValueError for a link, a device, or a name that leads out of the archive's folder."""
    if member.isdir():
        return False
    if member.size < 0:
        raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
    if not member.isfile() or leads_outside(member.name):
        raise ValueError(
            f"{archive}: {member.name!r} is a link or points outside the archive: ILSVRC's have no such member"
        )
    return True


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """A block that reads an archive: damage becomes a ValueError that names the archive."""
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, OverflowError, LookupError, UnicodeError, zlib.error) as error:
        raise ValueError(f"{archive}: damaged or cut short ({error}): fetch it again") from None


@cache
def _descriptor(archive: Path) -> int:
    return os.open(archive, os.O_RDONLY)
