"""What is being written lies under a hidden name; what a kill left of it is no result, and is cleared away later. No torch."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WRITING = ".writing-"
"""What stands between the name of a result and the random end of its temporary name."""
ASIDE = "old"
"""The former result, in a temporary folder, while the new one is put in its place."""
_LEFTOVER = re.compile(rf"\.(.+){re.escape(WRITING)}[a-z0-9_]{{8}}")


def prefix_of(path: Path) -> str:
    """How temporary names of a result begin."""
    return f".{path.name}{WRITING}"


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """A block that writes a temporary file or folder: it is locked, so that nobody clears it away."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems of clusters have no locks; there, nothing is cleared away
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def visible_files(folder: Path, *patterns: str) -> list[Path]:
    """The files below a folder of results that match some patterns, sorted; none that is still being written, or was when
    its writer was killed."""
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def clear_leftovers(folder: Path) -> None:
    """Clear away what kills left below a folder of results; a result that was put aside is put back where it is missed."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if match := _LEFTOVER.fullmatch(name):
                _clear(Path(root, name), Path(root, match[1]))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _clear(leftover: Path, result: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(leftover, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (leftover / ASIDE).exists() and not result.exists():
                (leftover / ASIDE).replace(result)
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        finally:
            os.close(descriptor)
