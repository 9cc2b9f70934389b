"""What a training store is best kept in: one flat file with an index (ours), LMDB, or a file per image.

    python bench/store.py IMAGES.zip [FOLDER]        # any zip of JPEGs; LMDB is measured where `pip install lmdb` was run

Rescaled pixels (smallest side 256) of the images, ten times over, are written in all three ways; then 224 px crops are read
in random order, as training does, warm and, where root allows, with the page cache dropped before each.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from harness import in_turn, row
from harness import write as write_results

from vggrepro.data.store import decode
from vggrepro.data.transforms import rescale_image

TIMES, CROP = 10, 224


def images(path: Path) -> list[np.ndarray]:
    """The rescaled pixels."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.endswith(".JPEG")]
        return [np.ascontiguousarray(rescale_image(decode(file.read(name), name), 256)) for name in names]


def write(found: list[np.ndarray], folder: Path) -> dict[str, Callable[[int], np.ndarray]]:
    """How each store gives the crop of image i."""
    every = [found[i % len(found)] for i in range(len(found) * TIMES)]
    offsets = np.cumsum([0, *(image.nbytes for image in every)]).tolist()
    with (folder / "flat.bin").open("wb") as flat:
        for i, image in enumerate(every):
            flat.write(image.data)
            (folder / f"{i}.raw").write_bytes(image.data)
    mapped = np.memmap(folder / "flat.bin", np.uint8, "r")

    def cut(data: np.ndarray, i: int) -> np.ndarray:
        return data.reshape(every[i].shape)[:CROP, :CROP].copy()

    readers = {
        "flat file": lambda i: cut(mapped[offsets[i] : offsets[i + 1]], i),
        "a file per image": lambda i: cut(np.fromfile(folder / f"{i}.raw", np.uint8), i),
    }
    try:
        import lmdb
    except ImportError:
        return readers
    environment = lmdb.open(str(folder / "lmdb"), map_size=2 * offsets[-1] + (1 << 26))
    with environment.begin(write=True) as transaction:
        for i, image in enumerate(every):
            transaction.put(b"%08d" % i, image.tobytes())
    reading = environment.begin(buffers=True)
    return readers | {"LMDB": lambda i: cut(np.frombuffer(reading.get(b"%08d" % i), np.uint8), i)}


def drop_cache() -> bool:
    """Empty the page cache; whether that was allowed."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def main(path: Path, folder: Path) -> None:
    """Crops a second of every way, warm and, where that is allowed, cold."""
    readers, rows = write(images(path), folder), []
    count = len(list(folder.glob("*.raw")))
    for state in ("warm", "cold") if drop_cache() else ("warm",):

        def read_all(read: Callable[[int], np.ndarray], cold: bool = state == "cold") -> float:
            if cold:
                drop_cache()
            order = np.random.default_rng(0).permutation(count)
            assert sum(int(read(i)[0, 0, 0]) for i in order.tolist()), "pixels were read"
            return count

        found = in_turn({name: partial(read_all, read) for name, read in readers.items()})
        names = {"flat file": "ours", "a file per image": "peer", "LMDB": "best"}
        rows.append(row(f"{state} page cache", "crops/s", {names[name]: values for name, values in found.items()}))
    about = {
        "title": "Reading crops of rescaled pixels",
        "peer": "a file per image",
        "best": "LMDB",
        "ours": "flat file",
    }
    write_results("store", about, rows)


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    where.mkdir(parents=True, exist_ok=True)
    try:
        main(Path(sys.argv[1]), where)
    finally:
        shutil.rmtree(where)
