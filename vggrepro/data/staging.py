"""Stores copied to a disk of the machine that reads them, and kept there for its next jobs. No torch.

In the folder that a user names, a store lies under a key that follows from its content:

<key>/          the copy: nothing is seen of it before it is whole
<key>.checked   every image of the copy had its checksum
<key>.lock      shared by those who read the copy; its time is when it was last asked for
room.lock       held by whoever copies, checks or clears: one at a time on a machine

A store of other content has another key. What nobody reads is cleared when another store needs its room, the longest unasked
first. Where a store cannot be copied it is read where it lies: no result depends on it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vggrepro.core.checksums import CHECKSUMS, check_file, listed_files, recorded_checksum
from vggrepro.core.files import lock
from vggrepro.core.leftovers import clear_leftovers, in_use, prefix_of
from vggrepro.core.progress import prefetch
from vggrepro.data.store import Store
from vggrepro.data.writer import free_bytes, gigabytes

SPARE = 0.02
"""Share of the disk that is left free."""
KEY = re.compile("[0-9a-f]{32}")
"""The name of a copy."""
IMAGES_AT_ONCE = 256
"""Images that a thread checks before it asks for more."""


@dataclass(frozen=True)
class Staging:
    """A folder on a disk of this machine, and how full it may get."""

    folder: Path
    limit: float
    """Bytes of all copies together."""
    workers: int = 1
    """Threads that check a copy."""

    @contextmanager
    def store(self, folder: Path) -> Iterator[Path]:
        """The folder to read a store from, its copy on this machine if there is room for one; kept while the block runs.

        Raises ValueError where a fresh copy is damaged.
        """
        started, key = time.monotonic(), recorded_checksum(folder)
        if key is None:
            _say(
                f"{folder}: no checksums lie with it, read where it lies: `vggrepro checksums FOLDER --record` adds them"
            )
            yield folder
            return
        with self._lock_file(folder, key) as held:
            copy = held and self._copy_of(folder, key, held)
            seconds = time.monotonic() - started
            _say(f"{folder}: {f'read from {copy}' if copy else 'read where it lies'}, after {seconds:.1f} s")
            try:
                yield copy or folder
            except (ValueError, OSError):
                # perhaps the copy is what is wrong: the next job checks it before it believes it
                self._checked(key).unlink(missing_ok=True)
                raise

    @contextmanager
    def _lock_file(self, folder: Path, key: str) -> Iterator[IO[str] | None]:
        """The open lock file of a copy; None, and a message, where the folder of copies cannot be written to."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.folder / f"{key}.lock").open("a")
        except OSError as error:
            _say(f"{folder}: no copy in {self.folder} ({error.strerror})")
            yield None
            return
        with file:
            yield file

    def _copy_of(self, folder: Path, key: str, held: IO[str]) -> Path | None:
        """The copy of a store, which nobody clears while its lock is held; None, and a message, where there is none."""
        copy = self.folder / key
        os.utime(held.fileno())
        if lock(held, shared=True) and self._checked(key).exists() and copy.exists():
            return copy
        with (self.folder / "room.lock").open("a") as room:
            if not lock(room):
                _say(f"{folder}: waits for another job of this machine that copies a store")
                lock(room, wait=True)
            clear_leftovers(self.folder)
            try:
                if not (self._is_whole(copy) or (self._has_room(folder, copy) and self._copy(folder, copy))):
                    return None
            except OSError as error:
                _say(f"{folder}: could not be copied to {self.folder} ({error.strerror})")
                return None
            # only who has the room takes this lock alone
            lock(held, shared=True, wait=True)
        return copy

    def _checked(self, key: str) -> Path:
        return self.folder / f"{key}.checked"

    def _is_whole(self, copy: Path) -> bool:
        """Whether a copy is there whose images have their checksums; one that is damaged is removed."""
        if copy.exists() and not self._checked(copy.name).exists():
            try:
                self._check(copy, copy.name)
                self._checked(copy.name).touch()
            except ValueError as error:
                _say(f"{copy}: damaged, copied again ({error})")
                shutil.rmtree(copy)
        return copy.exists()

    def _has_room(self, folder: Path, copy: Path) -> bool:
        """Whether a store fits, once copies that nobody reads are cleared."""
        needed, disk = _bytes_of(folder), shutil.disk_usage(self.folder)
        others = sorted(self._copies(), key=self._last_asked)
        while True:
            used = sum(map(_bytes_of, self._copies()))
            room = min(self.limit - used, free_bytes(self.folder) - SPARE * disk.total)
            if needed <= room:
                return True
            if not others:
                break
            self._clear(others.pop(0))
        _say(
            f"{folder}: takes {gigabytes(needed)}, {self.folder} has room for {gigabytes(max(room, 0))} beside what jobs read"
        )
        return False

    def _copies(self) -> list[Path]:
        """The copies there are: in a folder that others use too, nothing else is counted, and nothing else is cleared."""
        places = (path for path in self.folder.iterdir() if KEY.fullmatch(path.name) and path.is_dir())
        return [place for place in places if place.with_name(f"{place.name}.lock").exists()]

    def _last_asked(self, copy: Path) -> float:
        return (self.folder / f"{copy.name}.lock").stat().st_mtime

    def _clear(self, copy: Path) -> None:
        """Clear a copy, unless somebody reads it."""
        with (self.folder / f"{copy.name}.lock").open("a") as held:
            if lock(held):
                _say(f"{copy}: cleared, because another store needs its room")
                self._checked(copy.name).unlink(missing_ok=True)
                shutil.rmtree(copy)

    def _copy(self, folder: Path, copy: Path) -> bool:
        """Copy a store and check the copy, then give it its name; True."""
        temporary = copy.with_name(f"{prefix_of(copy)}{os.urandom(4).hex()}")
        temporary.mkdir()
        started, size = time.monotonic(), _bytes_of(folder)
        _say(f"{folder}: {gigabytes(size)} are copied to {self.folder}")
        try:
            with in_use(temporary):
                for file in filter(Path.is_file, folder.iterdir()):
                    shutil.copyfile(file, temporary / file.name)
                copied = time.monotonic() - started
                self._check(temporary, copy.name)
                temporary.replace(copy)
        except ValueError as error:
            raise ValueError(
                f"{folder}: its fresh copy in {self.folder} is damaged ({error}). `vggrepro checksums {folder}` says whether "
                "the store is, too; if it is not, the disk is: leave stage_folder out"
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._checked(copy.name).touch()
        _say(f"{folder}: copied in {copied:.1f} s ({gigabytes(size / copied)}/s), and checked")
        return True

    def _check(self, copy: Path, key: str) -> None:
        """Raise ValueError unless every file and every image of a copy has its checksum, and the list of them the store's."""
        if recorded_checksum(copy) != key:
            raise ValueError(f"{copy / CHECKSUMS} is not the store's")
        for file in listed_files(copy / CHECKSUMS):
            check_file(file)
        store = Store(copy)

        def read(first: int) -> None:
            for i in range(first, min(first + IMAGES_AT_ONCE, len(store))):
                store.data(i)

        parts = range(0, len(store), IMAGES_AT_ONCE)
        for _ in prefetch(read, parts, workers=self.workers, waiting=self.workers):
            pass


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _say(message: str) -> None:
    print(f"staging: {message}", file=sys.stderr, flush=True)
