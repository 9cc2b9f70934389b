"""How a prepared store is written: in one pass, in parallel, going on where it was cut off, and put in place only when whole.

What is there so far lies beside the store, in `.<name>.part/`: the images, and a record for each of them. A record is written
after its image is on the disk.
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
"""Of an image that is written: its line of the index, its SHA-256, its colours."""
IMAGES_PER_SYNC = 256
"""Images between two moments at which what is written is made sure of."""


class StoredImage(NamedTuple):
    """An image as a store keeps it."""

    data: bytes
    size: tuple[int, int]
    """Height and width of the original image."""
    sums: Sums


@dataclass(frozen=True)
class StoreSource:
    """What a store is written from."""

    name: str
    """For messages: the data set."""
    identity: Any
    """All that decides the store, as JSON: a part of another identity is not gone on from."""
    about: dict[str, Any]
    """What `store.json` says of the images; with `colours` None they are not measured, with ... they are."""
    ids: list[str]
    labels: list[int]
    read: Callable[[int], StoredImage]
    """Image number i. In a thread."""
    boxes: Callable[[NDArray[np.int64]], NDArray[np.int32]]
    """The true boxes [M, 5] in images of these heights and widths [N, 2]."""
    expected_bytes: int
    """Bytes of the images, as far as is known beforehand."""
    exact: bool
    """Whether they are known exactly."""


def gigabytes(count: float) -> str:
    """`1.3 GB`, or MB or kB where it is little."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def free_bytes(folder: Path) -> int:
    """Room on the disk where a folder lies or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def write_store(folder: Path, source: StoreSource, *, workers: int = 1, about: str = "") -> None:
    """Write a store. What an interrupted call has written is gone on from; nothing lies at `folder` until it is whole.

    Raises ValueError for a disk that is too small, beforehand where that can be known, and for an image that is there twice.
    """
    if twice := [name for name, n in Counter(source.ids).items() if n > 1]:
        raise ValueError(f"{source.name}: {len(twice)} images are there more than once, the first is {twice[0]}")
    if odd := next((name for name in source.ids if _is_odd(name)), None):
        raise ValueError(f"{source.name}: the file name {odd!r} has a line break or is no UTF-8: rename the file")
    check_replaceable(folder, "store.json")
    with _part(folder, source) as part:
        done = _resume(part, source)
        written = int(done["row"]["length"].sum())
        free = free_bytes(part)
        # an estimate may be off, and must not forbid what would fit
        missing = (source.expected_bytes if source.exact else 0.9 * source.expected_bytes) - written
        if missing > free:
            about_size = "" if source.exact else " about"
            raise ValueError(
                f"{folder}: the store needs{about_size} {gigabytes(missing)} more, the disk has {gigabytes(free)} free: make "
                "room, or choose a smaller encoding (--dry-run tells their sizes)"
            )
        try:
            _write_images(part, source, done, workers, about)
            _finish(part, source)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise ValueError(
                f"{folder}: no space left on the disk after {len(_records(part))} of {len(source.ids)} images: make room, and "
                f"the same command goes on from there; or delete {part}"
            ) from None
        put_in_place(part, folder)


def _is_odd(name: str) -> bool:
    """Whether a name does not fit on a line of a text file."""
    return name.splitlines() != [name] or name.encode("utf-8", "replace").decode() != name


@contextmanager
def _part(folder: Path, source: StoreSource) -> Iterator[Path]:
    """The folder of what is written so far, for this process alone."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("w") as file:
        if not lock(file):
            raise ValueError(f"{folder}: another process is writing this store: wait for it to end")
        yield part


def _identity(source: StoreSource) -> str:
    return hashlib.sha256(json.dumps([source.identity, source.ids, source.labels]).encode()).hexdigest()


def _resume(part: Path, source: StoreSource) -> NDArray[np.void]:
    """The records of an earlier call whose images are there; none where it wrote something else."""
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
        print(f"{source.name}: goes on after {len(done):,} of {len(source.ids):,} images", file=sys.stderr, flush=True)
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

        def make_sure() -> None:
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
                make_sure()
        make_sure()


def _finish(part: Path, source: StoreSource) -> None:
    """Everything but the images: index, boxes, ids, what the store says of itself."""
    done = _records(part)
    index = done["row"]
    boxes = source.boxes(np.stack([index["height"], index["width"]], 1).astype(np.int64))
    ids = "".join(f"{name}\n" for name in source.ids)
    np.save(part / "index.npy", index)
    np.save(part / "boxes.npy", boxes)
    (part / "ids.txt").write_text(ids, encoding="utf-8")
    about = dict(source.about)
    if about["colours"] is ...:
        about["colours"] = vars(Sums.from_rows(done["sums"]).colours())
    hasher = hashlib.sha256(done["digest"].tobytes())
    for found in (index.tobytes(), boxes.tobytes(), ids.encode(), "\n".join(about["blacklisted"]).encode()):
        hasher.update(found)
    write_json(part / "store.json", about | {"images": len(done), "digest": hasher.hexdigest()})
    for name in ("records.bin", "part.json", "lock"):
        (part / name).unlink()
