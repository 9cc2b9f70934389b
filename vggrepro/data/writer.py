"""Writing a prepared store: in one pass, in parallel, resumed after an interruption, put in place when it is complete.

An unfinished store lies beside its place in `.<name>.part/`: the images, and a record for each of them. A record is written
after its image is on the disk, so that every record has its image, whenever the power fails. No torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.files import check_replaceable, lock, put_in_place, read_json, write_json
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data.colours import Sums
from vggrepro.data.store import INDEX

RECORD = np.dtype([("row", INDEX), ("digest", "u1", 32), ("sums", "<i8", 13)])
"""The record of a written image: its row of the index, its SHA-256, its sums of colours."""
IMAGES_PER_SYNC = 256
"""Images between two moments at which the written images and their records are forced to the disk."""


class StoredImage(NamedTuple):
    """An image in the form that the store keeps."""

    data: bytes
    size: tuple[int, int]
    """Height and width of the original image."""
    sums: Sums


@dataclass(frozen=True)
class StoreSource:
    """The images and metadata that a store is written from."""

    name: str
    """The data set, for messages."""
    identity: Any
    """All that determines the store's content, as JSON: an unfinished store of another identity is not resumed."""
    about: dict[str, Any]
    """The metadata in `store.json`."""
    measure_colours: bool
    """Whether to compute the colour statistics, for the store of a training set."""
    ids: list[str]
    labels: list[int]
    read: Callable[[int], StoredImage]
    """Reads image number i; called in several threads."""
    boxes: Callable[[NDArray[np.int64]], NDArray[np.int32]]
    """The true boxes [M, 5] (number of the image, box) for images of given heights and widths [N, 2]."""
    expected_bytes: int
    """Bytes of all images, exactly or estimated."""
    exact: bool
    """Whether `expected_bytes` is exact."""


def gigabytes(count: float) -> str:
    """A number of bytes as text: `1.3 GB`, or in TB, MB or kB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def write_store(folder: Path, source: StoreSource, *, workers: int = 1, about: str = "") -> None:
    """Write a store, resuming an interrupted call; nothing lies at `folder` until the store is complete.

    Raises ValueError for a disk that is too small (before writing where the bytes are known), for two images of one id, and
    for a file name that does not fit on a line. `about` heads the progress.
    """
    if repeated := [name for name, n in Counter(source.ids).items() if n > 1]:
        raise ValueError(f"{source.name}: {len(repeated)} images are listed more than once, the first is {repeated[0]}")
    if odd := next((name for name in source.ids if _is_odd(name)), None):
        raise ValueError(f"{source.name}: the file name {odd!r} has a line break or is not UTF-8: rename the file")
    check_replaceable(folder, "store.json")
    with _part(folder, source) as part:
        done = _resume(part, source)
        written = int(done["row"]["length"].sum())
        free = free_bytes(part)
        # an estimate may be too high, therefore 10% less than estimated may be free
        missing = (source.expected_bytes if source.exact else 0.9 * source.expected_bytes) - written
        if missing > free:
            about_size = "" if source.exact else " about"
            raise ValueError(
                f"{folder}: the store needs{about_size} {gigabytes(missing)} more, the disk has {gigabytes(free)} free: free "
                "some space, or choose a smaller encoding (--dry-run prints the bytes of each)"
            )
        try:
            _write_images(part, source, done, workers, about)
            _finish(part, source)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise ValueError(
                f"{folder}: no space left on the disk after {len(_records(part))} of {len(source.ids)} images: free some "
                f"space and repeat the command, which resumes there; or delete {part}"
            ) from None
        put_in_place(part, folder)


def _is_odd(name: str) -> bool:
    """Whether a name cannot be a line of a UTF-8 text file."""
    return name.splitlines() != [name] or name.encode("utf-8", "replace").decode() != name


@contextmanager
def _part(folder: Path, source: StoreSource) -> Iterator[Path]:
    """The folder of the unfinished store, locked for this process."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("w") as file:
        if not lock(file):
            raise ValueError(f"{folder}: another process is writing this store: wait for it to end")
        yield part


def _identity(source: StoreSource) -> str:
    return hashlib.sha256(json.dumps([source.identity, source.ids, source.labels]).encode()).hexdigest()


def _resume(part: Path, source: StoreSource) -> NDArray[np.void]:
    """The records of an interrupted call whose images are complete; none where its store had another identity."""
    known = part / "part.json"
    if not known.exists() or read_json(known, ("identity",))["identity"] != _identity(source):
        for name in ("images.bin", "records.bin"):
            (part / name).unlink(missing_ok=True)
        write_json(known, {"identity": _identity(source)})
    done, images = _records(part), part / "images.bin"
    images.touch()
    whole = done["row"]["offset"] + done["row"]["length"] <= images.stat().st_size
    done = done[: int(whole.cumprod().sum())]
    os.truncate(images, int(done["row"]["length"].sum()))
    done.tofile(part / "records.bin")
    if len(done):
        print(f"{source.name}: resumes after {len(done):,} of {len(source.ids):,} images", file=sys.stderr, flush=True)
    return done


def _records(part: Path) -> NDArray[np.void]:
    path = part / "records.bin"
    whole = path.stat().st_size // RECORD.itemsize if path.exists() else 0
    return np.fromfile(path, RECORD, whole) if whole else np.empty(0, RECORD)


def _write_images(part: Path, source: StoreSource, done: NDArray[np.void], workers: int, about: str) -> None:
    numbers = range(len(done), len(source.ids))
    read = prefetch(source.read, numbers, workers=workers, waiting=4 * workers)
    offset, fresh = int(done["row"]["length"].sum()), list[tuple[Any, ...]]()
    with (part / "images.bin").open("ab") as images, (part / "records.bin").open("ab") as records:

        def sync() -> None:
            images.flush()
            os.fsync(images.fileno())
            np.array(fresh, RECORD).tofile(records)
            records.flush()
            fresh.clear()

        for i, entry in zip(numbers, show_progress(read, total=len(numbers), about=about, unit="image"), strict=True):
            images.write(entry.data)
            row = offset, len(entry.data), *entry.size, source.labels[i]
            offset += len(entry.data)
            fresh.append((row, list(hashlib.sha256(entry.data).digest()), entry.sums.as_row()))
            if len(fresh) == IMAGES_PER_SYNC:
                sync()
        sync()


def _finish(part: Path, source: StoreSource) -> None:
    """Write everything but the images: index, boxes, ids, metadata."""
    done = _records(part)
    index = done["row"]
    boxes = source.boxes(np.stack([index["height"], index["width"]], 1).astype(np.int64))
    ids = "".join(f"{name}\n" for name in source.ids)
    np.save(part / "index.npy", index)
    np.save(part / "boxes.npy", boxes)
    (part / "ids.txt").write_text(ids, encoding="utf-8")
    colours = {"colours": vars(Sums.from_rows(done["sums"]).colours())} if source.measure_colours else {}
    about = source.about | colours
    hasher = hashlib.sha256(done["digest"].tobytes())
    for data in (index.tobytes(), boxes.tobytes(), ids.encode(), "\n".join(about["blacklisted"]).encode()):
        hasher.update(data)
    write_json(part / "store.json", about | {"images": len(done), "digest": hasher.hexdigest()})
    for name in ("records.bin", "part.json", "lock"):
        (part / name).unlink()
