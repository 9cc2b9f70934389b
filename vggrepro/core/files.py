"""Files are written whole or not at all, and what is read back is checked; folders and zips are read alike. No torch."""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import os
import posixpath
import shutil
import stat
import struct
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vggrepro.core import limits
from vggrepro.core.checksums import (
    CHECKSUMS,
    SNAKEMAKES,
    check_file,
    is_listed,
    listed_files,
    result_to_delete,
    write_checksums,
)
from vggrepro.core.leftovers import ASIDE, in_use, prefix_of
from vggrepro.core.text import text_lines


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`: it replaces `path` when the block succeeds, and is deleted when the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=prefix_of(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with in_use(temporary), _named(path):
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, marker: str) -> Iterator[Path]:
    """A temporary folder beside `path`: it replaces `path` when the block succeeds, and is deleted when the block raises.

    The list of its files' checksums is added to it. Raises ValueError for an existing folder that is not ours: neither empty
    nor with the file `marker` in it.
    """
    check_replaceable(path, marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix_of(path), dir=path.parent))
    try:
        with in_use(temporary), _named(path):
            yield temporary
            write_checksums(temporary)
            put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A block that writes a result: an error without a name of a file, such as that of a full disk, gets the result's."""
    try:
        yield
    except OSError as error:
        if error.errno is None and "requested and" in str(error):
            # numpy says how many numbers it wrote, and not why no more
            raise OSError(f"{path}: could be written in part only ({error}): is the disk full?") from None
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def check_replaceable(path: Path, marker: str) -> None:
    """A ValueError unless `path` is absent, an empty folder, or one of ours, which has a file `marker` (a pattern) in it."""
    if path.exists() and not (path.is_dir() and (any(path.glob(marker)) or not any(path.iterdir()))):
        raise ValueError(
            f"{path}: this folder is not ours, because it has no {marker}; it will not be replaced: name another folder"
        )


def check_ending(path: Path, ending: str) -> None:
    """A ValueError unless a file that is to be written has a name with this ending: another one is somebody's own file."""
    if path.suffix != ending:
        raise ValueError(f"{path}: expected the name of a file to write that ends in {ending}")


def check_holds_only(folder: Path, names: Collection[str]) -> None:
    """A ValueError for a folder to write into that holds other files than those of these names, and hidden ones."""
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if others := [name for name in held if name not in names and not name.startswith(".")]:
        raise ValueError(f"{folder}: this folder is not ours, because it holds {others[0]}: name another folder")


def put_in_place(temporary: Path, path: Path) -> None:
    """Replace `path` by a finished folder that lies beside it."""
    aside = Path(tempfile.mkdtemp(prefix=prefix_of(path), dir=path.parent))
    try:
        with in_use(aside):
            temporary.chmod(0o777 & ~_umask())
            # the old folder is moved away in one piece, because a kill in the middle of deleting would leave a part of it
            if path.exists():
                path.replace(aside / ASIDE)
            temporary.replace(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    # mkstemp makes private files, but a result must be as readable as any other file of the user
    mask = os.umask(0)
    os.umask(mask)
    return mask


def lock(file: IO[str], *, wait: bool = False, shared: bool = False) -> bool:
    """Lock an open file until it is closed or its process ends in any way; False where another process holds the lock.

    Many processes may hold a `shared` lock, then nobody holds another one. Some file systems of clusters have no locks: there,
    every process gets the lock.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write a JSON file atomically; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path, keys: tuple[str, ...] = (), again: str = "make it again", *, listed: bool = True) -> Any:  # noqa: ANN401
    """The value in a JSON file; a ValueError that names the file where it is missing, damaged, or lacks one of `keys`.

    It is first compared with its checksum, unless it is a file about a run, which is in no list of checksums.
    """
    with checked(path, again) if listed else checked_again(path, again):
        value = json.loads(path.read_text(encoding="utf-8"))
        if keys and not (isinstance(value, dict) and set(keys) <= set(value)):
            raise ValueError(f"expected the keys {', '.join(keys)}")
        return value


def is_made_of(record: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the result that a JSON record lies beside is whole, and the record has all values of `identity`.

    A job looks here before it works: whatever it was started for, what is there already is not made again.
    """
    try:
        about, listing = read_json(record), record.with_name(CHECKSUMS)
        for file in listed_files(listing) if listing.exists() else ():
            check_file(file)
    except (ValueError, OSError):
        return False
    return all(key in about and about[key] == value for key, value in json.loads(json.dumps(identity)).items())


@contextmanager
def checked(path: Path, again: str = "make it again") -> Iterator[None]:
    """A block that reads a file of ours, which is first compared with its checksum.

    A missing or damaged file becomes a ValueError that names it, what to delete, and by `again` how to make it again.
    """
    with checked_again(path, again):
        check_file(path)
        yield


@contextmanager
def checked_again(path: Path, again: str) -> Iterator[None]:
    """A block as of `checked`, which reads a part of a file that was compared with its checksum before."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file: make it first, Snakemake does so on its own") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno in NO_DAMAGE:
            raise
        more = "with Snakemake, the same command does so"
        if not is_listed(path):
            more = "if this program did not make it, it is another file than is asked for here: name that"
        raise ValueError(f"{path}: damaged ({error}): delete {result_to_delete(path)} and {again}; {more}") from None


DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What is raised while a damaged file is read."""
NO_DAMAGE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
}
"""Errors that no damaged file makes, but rights, a full disk, the machine's limits, and a disk that does not answer."""


def read_lines(path: Path, again: str = "make it again") -> list[str]:
    """The lines of a text file of ours; a ValueError as of `checked`."""
    with checked(path, again):
        return path.read_text(encoding="utf-8").splitlines()


def read_rows(path: Path, again: str = "make it again") -> list[dict[str, str]]:
    """The rows of a CSV file of ours by its columns' names; a ValueError as of `checked`."""
    with checked(path, again), path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file, SHA-256 if nothing else is asked for."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def leads_outside(name: str) -> bool:
    """Whether an archive's member of this name would be unpacked outside the archive's folder."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or parts[0].endswith(":")


def same_on_disk(names: Iterable[str]) -> list[str]:
    """The names that a disk takes for one another: by case, or by form of an accent."""
    same = Counter(unicodedata.normalize("NFC", name).casefold() for name in names)
    return [name for name, count in same.items() if count > 1]


def read_regular(path: Path, limit: int = limits.FILE_BYTES) -> bytes:
    """The bytes of a file of others; an OSError where it cannot be read.

    Raises ValueError that names it for a pipe or a device, which may never end, and for more bytes than `limit`.
    """
    # a pipe would be waited for as soon as it is opened
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{path}: expected a file, got a pipe, a device or a folder: remove it")
        if about.st_size > limit:
            raise ValueError(f"{path}: has {about.st_size:,} bytes, expected at most {limit:,}: is it another file?")
        return file.read()


def read_text(path: Path) -> str:
    """A text file of others; a ValueError that names it where it is too long, cannot be read, or is not in UTF-8."""
    try:
        return read_regular(path, limits.TEXT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text in UTF-8: {error}") from None


def open_zip(path: Path) -> zipfile.ZipFile:
    """A zip of others, with a plain name for each file; a ValueError that names it where it is damaged or no plain archive.

    Refused are links, names that lead out of the archive, a second name for a file (`a//b`, `./a/b`), methods of
    compression whose output cannot be bounded, and files or numbers of files beyond `core/limits.py`.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, RuntimeError, LookupError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: neither a folder nor a whole zip file ({error})") from None
    members = archive.infolist()
    if len(members) > limits.MEMBERS:
        raise ValueError(f"{path}: has {len(members):,} files, expected at most {limits.MEMBERS:,}")
    names = set()
    for member in members:
        shown = f"{path}: {member.filename!r}"
        if leads_outside(member.filename) or stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"{shown} is a link or points outside the archive: refused")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{shown} is packed by another method than deflate: pack the archive again")
        plain = posixpath.normpath(member.filename)
        if "\\" in member.filename or plain != member.filename.rstrip("/") or member.filename in names:
            raise ValueError(f"{shown} is not the plain or not the only name of its file: pack the archive again")
        names.add(member.filename)
    return archive


CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")
"""Files and folders that other programs leave among images; so are those whose names begin with a dot."""


def is_clutter(name: str) -> bool:
    """Whether a file is hidden, or left by another program: `.DS_Store`, `._a.jpg`, `.ipynb_checkpoints/a`, `Thumbs.db`."""
    return any(part.startswith(".") or part in CLUTTER for part in name.split("/"))


def _below(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """The names of all files below a folder, through links, but not through one to a folder that it lies in."""
    place = folder.stat()
    if (identity := (place.st_dev, place.st_ino)) in above:
        print(f"{folder}: leaves out a link to a folder that it lies in", file=sys.stderr, flush=True)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(Path(entry.path), f"{prefix}{entry.name}/", (*above, identity))
            else:
                yield prefix + entry.name


class Files:
    """The files of a folder, or of a zip that is never unpacked, by their names relative to it."""

    def __init__(self, path: Path) -> None:
        """List the files; a ValueError where `path` is neither a folder nor a zip of plain files (see `open_zip`)."""
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._listed = False
        if path.is_dir():
            listed = sorted(name for name in _below(path, "", ()) if name not in (CHECKSUMS, SNAKEMAKES))
            self._listed = (path / CHECKSUMS).exists()
        elif path.is_file():
            self._zip = open_zip(path)
            listed = sorted(name for name in self._zip.namelist() if not name.endswith(("/", CHECKSUMS)))
        elif path.exists():
            raise ValueError(f"{path}: neither a folder nor a zip file")
        else:
            raise ValueError(f"{path}: no such file or folder")
        self.names = [name for name in listed if not is_clutter(name)]
        if len(self.names) < len(listed):
            first = next(name for name in listed if is_clutter(name))
            left_out = f"leaves out {len(listed) - len(self.names):,} hidden files and files of other programs"
            print(f"{path}: {left_out}, the first is {first!r}", file=sys.stderr, flush=True)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file."""
        if self._zip:
            return {info.filename: info.file_size for info in self._zip.infolist()}
        try:
            return {name: os.stat(f"{self.path}/{name}").st_size for name in self.names}  # noqa: PTH116, of thousands
        except OSError as error:
            raise ValueError(f"{error.filename}: cannot be read: {error.strerror}: is it a link to nothing?") from None

    def read(self, name: str) -> bytes:
        """The bytes of one file; a ValueError that names it if they cannot be read, are too many, or differ from our list."""
        if self._listed:
            with checked(self.path / name):
                return read_regular(self.path / name)
        try:
            if self._zip is None:
                return read_regular(self.path / name)
            if (size := self._zip.getinfo(name).file_size) > limits.FILE_BYTES:
                raise ValueError(f"{size:,} bytes, expected at most {limits.FILE_BYTES:,}")
            return self._zip.read(name)
        except (OSError, ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{self.path}: {name} cannot be read: {error}") from None  # RuntimeError: encrypted

    def lines(self, name: str) -> list[str]:
        """The lines of a text file that are not empty; a ValueError where it is too long for a list."""
        data = self.read(name)
        if len(data) > limits.TEXT_BYTES:
            raise ValueError(f"{self.path}: {name} has {len(data):,} bytes, expected at most {limits.TEXT_BYTES:,}")
        return text_lines(data)
