"""The files of ILSVRC's devkit, in either of its versions, unpacked or not: one reader for all who need them. No torch.

ILSVRC-2012's devkit (t12) has `meta.mat` and `ILSVRC2012_validation_ground_truth.txt`, that of 2014 `meta_clsloc.mat`,
`ILSVRC2014_clsloc_validation_ground_truth.txt`, and the only blacklist.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from vggrepro.core.files import read_regular
from vggrepro.core.text import decode_text
from vggrepro.data.annotations import read_numbers
from vggrepro.data.tars import TarMember
from vggrepro.paper.ilsvrc import ILSVRC_BLACKLISTED, ILSVRC_VALIDATION_IMAGES

SYNSETS = r"(.+/)?meta(_clsloc)?\.mat"
LABELS_FILE = r"(.+/)?ILSVRC20\d\d_(clsloc_)?validation_ground_truth\.txt"
BLACKLIST = r"(.+/)?ILSVRC20\d\d_(clsloc_)?validation_blacklist\.txt"
ABOUT = {
    SYNSETS: "the devkit's list of classes, meta.mat (2012) or meta_clsloc.mat (2014)",
    LABELS_FILE: "the devkit's validation labels, ILSVRC2012_validation_ground_truth.txt or ILSVRC2014_clsloc_validation_...",
    BLACKLIST: "the blacklist, ILSVRC2014_clsloc_validation_blacklist.txt, which the devkit of 2014 has",
}
"""What each pattern finds, for messages."""
BELOW = ("*", "data/*", "*evkit*/*", "*evkit*/data/*", "*evkit*/*/data/*")
"""Where a folder's files are looked for: in the devkit's own data folder, in the folder above, beside the images."""
LARGEST_FILE = 1 << 26
"""Bytes: no file of the devkit is longer."""


def one_devkit_file(names: Collection[str], read: Callable[[str], bytes], pattern: str, where: object) -> str:
    """The file whose name matches; any one of several with the same content. A ValueError for none and for several."""
    matching = sorted(name for name in names if re.fullmatch(pattern, name))
    if len({read(name) for name in matching}) != 1:
        got = f"{len(matching)} that differ: {', '.join(matching[:3])}: keep one" if matching else "none"
        raise ValueError(f"{where}: expected {ABOUT[pattern]}, got {got}")
    return matching[0]


def read_blacklist(data: bytes, where: str, *, images: int, highest: int) -> list[int]:
    """The numbers from 1 to `highest` of the blacklisted ones of so many validation images.

    Raises ValueError for a list that is empty, repeats a number or, of ILSVRC's 50,000 images, has not the 1,762 of theirs:
    with another list, the localisation error would be of other images.
    """
    numbers = read_numbers(decode_text(data), where, 1, highest)
    number, times = Counter(numbers).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{where}: expected each number once, got {number} {times} times: fetch the devkit again")
    if images == ILSVRC_VALIDATION_IMAGES and len(numbers) != ILSVRC_BLACKLISTED:
        whole = f"the {ILSVRC_BLACKLISTED:,} numbers of ILSVRC's {images:,} images"
        raise ValueError(f"{where}: expected {whole}, got {len(numbers):,}: fetch the devkit again")
    return numbers


class DevkitFiles:
    """The files of a devkit: in its data folder, the folder above, a folder of images with it, or its archive."""

    def __init__(self, path: Path) -> None:
        """List the files; a ValueError where `path` is neither a folder nor an archive."""
        self.path = path
        self._files: dict[str, Path | bytes] = {}
        if path.is_dir():
            found = (file for pattern in BELOW for file in path.glob(pattern))
            self._files = {file.relative_to(path).as_posix(): file for file in found if _is_wanted(file.name)}
            packed = sorted(path.glob("ILSVRC20*devkit*.t*gz"))
            if packed and not any(re.fullmatch(SYNSETS, name) for name in self._files):
                self._files |= _unpacked(packed[0])
        elif path.is_file():
            self._files = dict(_unpacked(path))
        else:
            raise ValueError(f"{path}: no such folder or archive: give ILSVRC's devkit")

    def place(self, pattern: str) -> Path:
        """The file on disk that holds what a pattern names: the file itself, or the archive."""
        name = one_devkit_file(self._files, self._read, pattern, self.path)
        file = self._files[name]
        return file if isinstance(file, Path) else self.path

    def read(self, pattern: str) -> tuple[str, bytes]:
        """Where a file is, for messages, and its content; a ValueError where it is missing, there twice, or unreadable."""
        name = one_devkit_file(self._files, self._read, pattern, self.path)
        return str(self.path / name), self._read(name)

    def _read(self, name: str) -> bytes:
        file = self._files[name]
        if isinstance(file, bytes):
            return file
        try:
            return read_regular(file, LARGEST_FILE)
        except OSError as error:
            raise ValueError(f"{file}: cannot be read: {error}") from None


def _is_wanted(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in ABOUT)


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The devkit's files in a tar or a zip, by name."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                files = [
                    file for file in packed.infolist() if _is_wanted(file.filename) and file.file_size <= LARGEST_FILE
                ]
                return {file.filename: packed.read(file) for file in files}
        with tarfile.open(archive, tarinfo=TarMember) as tar:
            members = [
                member for member in tar if member.isfile() and _is_wanted(member.name) and member.size <= LARGEST_FILE
            ]
            return {m.name.removeprefix("./"): opened.read() for m in members if (opened := tar.extractfile(m))}
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, RuntimeError) as error:
        raise ValueError(
            f"{archive}: expected ILSVRC's devkit, a folder or its archive ILSVRC2012_devkit_t12.tar.gz: {error}"
        ) from None
