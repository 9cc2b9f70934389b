"""Training input: from images on a disk to a batch that a net can be given, images/s.

    python bench/training_input.py IMAGES.zip       any zip of JPEGs

The peer is torchvision's reference for training on ImageNet: ImageFolder, PIL, Resize, RandomCrop, flip, ToTensor,
Normalize; its best flags: decode_image, antialiased resizing of bytes, flip and crop of tensors, the rest on the whole batch.
Ours rescales with the same filter to the same pixels (within a level), and adds the paper's shift of colour. It is measured
from the files, and from stores prepared at S = 256; the peer always reads the files. Files are in the page cache. On one core
both work in the process itself; on two, in two worker processes or threads.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, in_turn, pin, row, write
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

from vggrepro.data import crops as crop_calls
from vggrepro.data.crops import training_crops
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import original_images, prepare_rescaled
from vggrepro.data.store import Store
from vggrepro.data.transforms import Draws
from vggrepro.data.writer import write_store as write_store
from vggrepro.settings.blocks import TrainSettings
from vggrepro.training.loader import Batches

BATCH, CROP, REPEATS = 50, 224, 7
MEAN, STD = (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)


def unpacked(images: Path, folder: Path) -> Path:
    """The images of a zip as a tree of two classes."""
    with zipfile.ZipFile(images) as file:
        for number, name in enumerate(n for n in file.namelist() if n.endswith((".JPEG", ".jpg"))):
            target = folder / "train" / f"n0000000{number % 2}" / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read(name))
    return folder


def stores(tree: Path) -> dict[str, Store]:
    """The same images in our stores: files as they came, and rescaled to S = 256 as JPEG and as pixels."""
    layout = open_ilsvrc(tree)
    write_store(
        tree / "files", original_images(layout, layout.items("train"), encoding="files", training=True), workers=2
    )
    for encoding in ("jpeg", "pixels"):
        prepare_rescaled(tree / "files", 256, encoding, tree / encoding, workers=2)
    return {name: Store(tree / name) for name in ("files", "jpeg", "pixels")}


class Jitter(v2.Transform):
    """S from [256;512] for every image."""

    def transform(self, inpt: Any, params: Any) -> Any:  # noqa: ANN401
        """The image, rescaled."""
        S = int(torch.randint(256, 513, ()))
        return v2.functional.resize(inpt, [S], InterpolationMode.BILINEAR, antialias=True)


def reference(tree: Path, workers: int, S: tuple[int, int]) -> Callable[[], float]:
    """torchvision's reference."""
    resize = v2.Resize(256) if S == (256, 256) else Jitter()
    scale = [m / 255 for m in MEAN], [s / 255 for s in STD]
    # as references/classification has it
    steps = [resize, v2.RandomCrop(CROP), v2.RandomHorizontalFlip(), v2.PILToTensor(), v2.ToDtype(torch.float32, True)]
    data = ImageFolder(tree / "train", v2.Compose([*steps, v2.Normalize(*scale)]))
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return lambda: float(sum(len(images) for images, _ in loader))


def reference_at_its_best(tree: Path, workers: int, S: tuple[int, int]) -> Callable[[], float]:
    """The same on tensors of bytes; what can be done to a batch at once is."""
    resize = v2.Resize(256, antialias=True) if S == (256, 256) else Jitter()
    data = ImageFolder(
        tree / "train",
        v2.Compose([resize, v2.RandomCrop(CROP), v2.RandomHorizontalFlip()]),
        loader=lambda path: decode_image(path, ImageReadMode.RGB),
    )
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def epoch() -> Iterator[torch.Tensor]:
        for images, _ in loader:
            yield images.float().sub_(mean).div_(std)

    return lambda: float(sum(len(images) for images in epoch()))


def ours(store: Store, workers: int, S: tuple[int, int]) -> Callable[[], float]:
    """An epoch of our batches, each made what a net is given."""
    room, epoch = torch.empty(BATCH, CROP, CROP, 3), iter(range(1, 1000))

    def run() -> float:
        draws = Draws.for_epoch(0, next(epoch), len(store), S)
        batches = Batches(store, draws, train=TrainSettings(batch=BATCH), crop=CROP, workers=workers)
        return float(sum(len(batch.images(room)) for batch in batches))

    return run


def crops(store: Store, epoch: int) -> int:
    """Read the crops of an epoch, batch by batch; how many they are."""
    draws = Draws.for_epoch(0, epoch, len(store), (256, 256))
    for first in range(0, len(store), BATCH):
        numbers = draws.order[first : first + BATCH]
        out = np.empty((len(numbers), CROP, CROP, 3), np.uint8)
        training_crops(store, numbers, draws, CROP, flip=True, out=out)
    return len(store)


def crops_of(folder: Path, epoch: int) -> int:
    """The same in a process of its own, which opens the store once."""
    return crops(_opened(folder), epoch)


_opened = lru_cache(Store)

COMPILED = ("_read_pixels", "_read_files", "_cut")
"""The calls of `training_crops` that let the lock go. So does libjpeg-turbo, of whose call a small image's is the rest."""


def microseconds_with_lock(store: Store) -> list[float]:
    """Processor time an image in which a thread holds the lock, at most: of several epochs. It does not depend on the load."""
    compiled = {name: getattr(crop_calls, name) for name in COMPILED}
    decode, outside, found, wrapped = crop_calls.decode_jpeg, [0.0], list[float](), 0.0
    tiny = io.BytesIO()
    Image.new("RGB", (16, 16)).save(tiny, "JPEG")

    def timed(call: Callable[..., Any], inside: float = 0.0) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:  # noqa: ANN401
            started = time.thread_time()
            result = call(*arguments)
            outside[0] += time.thread_time() - started - inside + wrapped
            return result

        return run

    def average(call: Callable[[], Any]) -> float:
        started = time.thread_time()
        for _ in range(1000):
            call()
        return (time.thread_time() - started) / 1000

    fixed = average(partial(decode, tiny.getvalue()))
    # what measuring costs is no part of it
    nothing, outside[0] = timed(bool), 0.0
    wrapped = average(nothing) - outside[0] / 1000
    try:
        for name, call in compiled.items():
            setattr(crop_calls, name, timed(call))
        crop_calls.decode_jpeg = timed(decode, fixed)
        for epoch in range(1, 2 * REPEATS):
            outside[0], started = 0.0, time.thread_time()
            images = crops(store, epoch)
            found.append(1e6 * (time.thread_time() - started - outside[0]) / images)
    finally:
        for name, call in compiled.items():
            setattr(crop_calls, name, call)
        crop_calls.decode_jpeg = decode
    return found


def loading(kept: dict[str, Store]) -> Iterator[Row]:
    """What one process reads with one thread and with two, and what two processes do."""
    pin(2)
    for title, name in (("pixels at S = 256", "pixels"), ("JPEG at S = 256", "jpeg"), ("from the JPEG files", "files")):
        store, epochs = kept[name], count(1)
        yield row(f"{title}: a thread holds the lock", "us", {"ours": microseconds_with_lock(store)})
        with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, get_context("spawn")) as processes:

            def both(pool: Executor, call: Callable[..., int], what: object, epochs: count[int] = epochs) -> float:
                return float(sum(pool.map(call, [what] * 4, [next(epochs) for _ in range(4)])))

            found = in_turn(
                {
                    "peer": lambda store=store, epochs=epochs: float(crops(store, next(epochs))),
                    "best": partial(both, processes, crops_of, store.folder),
                    "ours": partial(both, threads, crops, store),
                },
                REPEATS,
            )
        yield row(f"{title}: two threads, beside one (first) and two processes (second)", "images/s", found)


def main(images: Path, folder: Path) -> None:
    """Measure on one core, then on two."""
    kept, rows = stores(unpacked(images, folder)), list[Row]()
    sources = [
        ("from the JPEG files", "files", 2.0),
        ("JPEG at S = 256", "jpeg", 6.0),
        ("pixels at S = 256", "pixels", 15.0),
    ]
    cores = len(os.sched_getaffinity(0))
    for used in (1, 2)[:cores][::-1]:
        pin(used)
        workers = 0 if used == 1 else used
        fixed = {
            "peer": reference(folder, workers, (256, 256)),
            "best": reference_at_its_best(folder, workers, (256, 256)),
        }
        works = fixed | {name: ours(kept[name], workers, (256, 256)) for _, name, _ in sources}
        found = in_turn(works, REPEATS)
        said = f"{used} core{'s' * (used > 1)}"
        rows += [
            row(f"{said}, {title}", "images/s", {name: found[name] for name in fixed} | {"ours": found[source]}, reach)
            for title, source, reach in sources
        ]
        jitter = {
            "peer": reference(folder, workers, (256, 512)),
            "best": reference_at_its_best(folder, workers, (256, 512)),
        }
        found = in_turn(jitter | {"ours": ours(kept["files"], workers, (256, 512))}, REPEATS)
        rows.append(row(f"{said}, from the JPEG files, S from [256;512]", "images/s", found))
    rows += loading(kept)
    about = {"title": "Training input", "peer": "torchvision", "best": "its best flags", "ours": "vggrepro"}
    write("training_input", about, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    where = parser.parse_args().path
    with tempfile.TemporaryDirectory() as name:
        main(where, Path(name))
