"""Files in tars, read by their places without unpacking them; what a tar may not hold is refused. No torch."""

from __future__ import annotations

import io
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
from vggrepro.core.text import text_lines

LONGEST_PATH = 1 << 16
"""Bytes of a name that has a member of its own in a tar."""
PLAIN, PACKED = (".tar",), (".tar.gz", ".tgz")
"""Endings of tars, and of packed ones."""
Place = tuple[Path, int, int]
"""An archive, and offset and bytes of a file in it."""


class TarFiles:
    """Files in archives by their names there; has the methods of `core.files.Files`."""

    names: list[str]

    def __init__(self, path: Path, packed: bytes | None = None) -> None:
        """List the files of one tar, of the bytes `packed` where it lies in another archive.

        A packed tar is kept in memory. Raises ValueError that names a tar which is damaged or hostile.
        """
        self.path = path
        self._places: dict[str, Place] = {}
        self._unpacked: dict[str, bytes] = {}
        if packed is None and (path.name.lower().endswith(PLAIN) or is_plain(path)):
            self._places = dict(tar_members(path))
        else:
            self.unpack(path, "", packed)
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

    def unpack(self, archive: Path, folder: str, packed: bytes | None = None) -> None:
        """Keep the files of a small compressed archive in memory, of its bytes `packed` where it is no file itself."""
        unpacked = 0
        with (
            damage_named(archive),
            tarfile.open(
                archive, "r:*" if packed else "r:gz", fileobj=io.BytesIO(packed) if packed else None, tarinfo=TarMember
            ) as tar,
        ):
            for member in tar_files(tar, archive):
                unpacked += member.size
                if unpacked > limits.UNPACKED_BYTES:
                    raise ValueError(f"{archive}: unpacks to more than {limits.UNPACKED_BYTES:,} bytes: fetch it again")
                file = tar.extractfile(member)
                assert file is not None, "a regular file can be read"
                self._unpacked[folder + member.name.removeprefix("./")] = file.read()


def is_plain(path: Path) -> bool:
    """Whether a file is a tar that is not packed, whatever it is called: ImageNetV2's are called .tar.gz."""
    with path.open("rb") as file:
        return file.read(512)[257:262] == b"ustar"


def tar_members(archive: Path) -> Iterator[tuple[str, Place]]:
    """(name, (archive, offset, bytes)) of the files in a tar."""
    with damage_named(archive), tarfile.open(archive, "r:", tarinfo=TarMember) as tar:
        for member in tar_files(tar, archive):
            yield member.name.removeprefix("./"), (archive, member.offset_data, member.size)


class TarMember(tarfile.TarInfo):
    """A member of a tar, whose size is checked before `tarfile` goes on by it: a negative one would lead it back for ever."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The member that a header describes; a ReadError for an impossible size."""
        member = super().frombuf(buf, encoding, errors)
        # a long name is a member of its own, which is read as a whole
        if member.size < 0 or (not member.isfile() and member.size > LONGEST_PATH):
            raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
        return member


def tar_files(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
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
            f"{archive}: {member.name!r} is a link or points outside the archive: official archives have no such member"
        )
    return True


@contextmanager
def damage_named(archive: Path) -> Iterator[None]:
    """A block that reads an archive: damage becomes a ValueError that names the archive."""
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, OverflowError, LookupError, UnicodeError, zlib.error) as error:
        raise ValueError(f"{archive}: damaged or cut short ({error}): fetch it again") from None


@cache
def _descriptor(archive: Path) -> int:
    return os.open(archive, os.O_RDONLY)
