"""Data sets of transfer in any form in which they are published: folders, zips and tars, or several of them. No torch."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from vggrepro.core.files import Files, is_clutter
from vggrepro.data.tars import PACKED, PLAIN, TarFiles

VOC_ARCHIVE = r"VOC[^/]*{year}[^/]*\.(tar|tar\.gz|tgz|zip)"
"""`VOCtrainval_06-Nov-2007.tar`, `VOCtest_06-Nov-2007.tar`, `VOCtrainval_11-May-2012.tar`, `VOC2012test.tar`."""
CALTECH_ARCHIVE = r"{size}_ObjectCategories\.(tar|tar\.gz|tgz|zip)|caltech[-_]?{size}\.(tar|tar\.gz|tgz|zip)"
"""`101_ObjectCategories.tar.gz`, `256_ObjectCategories.tar`, and `caltech-101.zip`, which has the first of them in it."""


class PublishedFiles:
    """The files of a data set in a folder, in archives, or in both, as if all were unpacked where the first archive lies."""

    def __init__(self, path: Path, archives: str) -> None:
        """List the files of a folder, zip or tar, and of the archives in it whose names match the pattern `archives`.

        Tars of that pattern beside a tar are read, too, because VOC is published in parts. Raises ValueError that names
        what is missing, damaged or hostile.
        """
        self.path = path
        self._sources: dict[str, tuple[Files | TarFiles, str]] = {}
        pattern = re.compile(archives, re.IGNORECASE)
        for files in _all_sources(path, pattern):
            for name in (name for name in files.names if not is_clutter(name)):
                # an archive may lie where it was unpacked: then the file is read
                self._sources.setdefault(name, (files, name))
        self.names = sorted(self._sources)

    def merge(self, folders: Iterable[str], into: str) -> None:
        """Read the files below several folders as if they lay in one; a ValueError where two of one name differ."""
        for folder in folders:
            for name in [name for name in self.names if name.startswith(folder)]:
                source, target = self._sources.pop(name), into + name.removeprefix(folder)
                other = self._sources.setdefault(target, source)
                if other is not source and other[0].read(other[1]) != source[0].read(source[1]):
                    raise ValueError(f"{self.path}: {name} and {target} differ: keep one of the two folders")
        self.names = sorted(self._sources)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file."""
        # each source is asked once, not once for each of its files
        sizes = {files: files.sizes() for files in {files for files, _ in self._sources.values()}}
        return {name: sizes[files][inner] for name, (files, inner) in self._sources.items()}

    def read(self, name: str) -> bytes:
        """The bytes of one file; a ValueError that names it if they cannot be read."""
        files, inner = self._sources[name]
        return files.read(inner)

    def lines(self, name: str) -> list[str]:
        """The lines of a text file that are not empty."""
        files, inner = self._sources[name]
        return files.lines(inner)


def _all_sources(path: Path, pattern: re.Pattern[str]) -> Iterator[Files | TarFiles]:
    """A folder or an archive, and the archives in it or beside it that belong to it."""
    if not (path.is_file() and path.name.lower().endswith((*PLAIN, *PACKED))):
        yield from _with_archives(Files(path), pattern)
        return
    yield TarFiles(path)
    for beside in sorted(path.parent.iterdir()) if pattern.fullmatch(path.name) else ():
        if beside.name != path.name and pattern.fullmatch(beside.name) and beside.name.lower().endswith(PLAIN + PACKED):
            print(f"{path}: {beside.name}, which lies beside it, is read too", file=sys.stderr, flush=True)
            yield TarFiles(beside)


def _with_archives(files: Files, pattern: re.Pattern[str]) -> Iterator[Files | TarFiles]:
    yield files
    for name in files.names:
        if not pattern.fullmatch(posixpath.basename(name)):
            continue
        if files.path.is_file():
            if not name.lower().endswith(".zip"):
                yield TarFiles(files.path / name, files.read(name))
        elif name.lower().endswith(".zip"):
            yield from _with_archives(Files(files.path / name), pattern)
        else:
            yield TarFiles(files.path / name)
