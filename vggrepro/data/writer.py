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

from vggrepro.core.checksums import data_checksum, write_checksums
from vggrepro.core.files import check_replaceable, lock, put_in_place, write_json, write_text
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data.colours import Sums
from vggrepro.data.store import IMAGES, INDEX, SUMS

IMAGE_RECORD = np.dtype([("row", INDEX), ("digest", "u1", 32), ("sums", "<i8", 13), ("sum", "<u8"), ("check", "<u8")])
"""The record of a written image: its row of the index, its SHA-256, sums of colours, checksum; and the record's own."""
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
    """The records of an interrupted call up to the first that is not whole; none where its store had another identity."""
    known, identity = part / "identity", _identity(source)
    if not known.exists() or known.read_bytes() != identity.encode():
        for name in (IMAGES, "records.bin"):
            (part / name).unlink(missing_ok=True)
        write_text(known, identity)
    images = part / IMAGES
    images.touch()
    done = _whole(_records(part), images)
    os.truncate(images, int(done["row"]["length"].sum()))
    done.tofile(part / "records.bin")
    if len(done):
        print(f"{source.name}: resumes after {len(done):,} of {len(source.ids):,} images", file=sys.stderr, flush=True)
    return done


def _records(part: Path) -> NDArray[np.void]:
    path = part / "records.bin"
    whole = path.stat().st_size // IMAGE_RECORD.itemsize if path.exists() else 0
    return np.fromfile(path, IMAGE_RECORD, whole) if whole else np.empty(0, IMAGE_RECORD)


def _whole(done: NDArray[np.void], images: Path) -> NDArray[np.void]:
    """The records up to the first that is damaged, or whose image is: what was written long ago may have changed."""
    end = 0
    with images.open("rb") as file:
        for number, record in enumerate(done):
            row = record["row"]
            if record["check"] != data_checksum(record.tobytes()[:-8]) or row["offset"] != end:
                return done[:number]
            data = file.read(int(row["length"]))
            if len(data) < row["length"] or data_checksum(data) != record["sum"]:
                return done[:number]
            end += len(data)
    return done


def _record(row: tuple[Any, ...], entry: StoredImage) -> NDArray[np.void]:
    digest = list(hashlib.sha256(entry.data).digest())
    record = np.array([(row, digest, entry.sums.as_row(), data_checksum(entry.data), 0)], IMAGE_RECORD)
    record["check"] = data_checksum(record.tobytes()[:-8])
    return record


def _write_images(part: Path, source: StoreSource, done: NDArray[np.void], workers: int, about: str) -> None:
    numbers = range(len(done), len(source.ids))
    read = prefetch(source.read, numbers, workers=workers, waiting=4 * workers)
    offset, fresh = int(done["row"]["length"].sum()), list[NDArray[np.void]]()
    with (part / IMAGES).open("ab") as images, (part / "records.bin").open("ab") as records:

        def sync() -> None:
            images.flush()
            os.fsync(images.fileno())
            np.concatenate([*fresh, np.empty(0, IMAGE_RECORD)]).tofile(records)
            records.flush()
            fresh.clear()

        for i, entry in zip(numbers, show_progress(read, total=len(numbers), about=about, unit="image"), strict=True):
            images.write(entry.data)
            row = offset, len(entry.data), *entry.size, source.labels[i]
            offset += len(entry.data)
            fresh.append(_record(row, entry))
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
    np.save(part / SUMS, done["sum"])
    (part / "ids.txt").write_text(ids, encoding="utf-8")
    colours = {"colours": vars(Sums.from_rows(done["sums"]).colours())} if source.measure_colours else {}
    about = source.about | colours
    hasher = hashlib.sha256(done["digest"].tobytes())
    for data in (index.tobytes(), boxes.tobytes(), ids.encode(), "\n".join(about["blacklisted"]).encode()):
        hasher.update(data)
    write_json(part / "store.json", about | {"images": len(done), "digest": hasher.hexdigest()})
    for name in ("records.bin", "identity", "lock"):
        (part / name).unlink()
    write_checksums(part, without=(IMAGES,))
