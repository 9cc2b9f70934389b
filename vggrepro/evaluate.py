"""Posteriors of images under a protocol (section 3.2): dense, multi-crop, centre crop."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vggrepro import checkpoint, provenance, scores
from vggrepro.catalogue import PROTOCOLS, Run
from vggrepro.config import Evaluate
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre, grid, rescale
from vggrepro.files import atomic_folder, digest
from vggrepro.nets import VGG

DEFAULT = Evaluate()


def views(image: Pixels, protocol: str, crop: int, crop_grid: str) -> list[Pixels]:
    """What the net is shown of a rescaled image [H, W, 3]; mirror images included, except under centre-crop."""
    height, width = image.shape[:2]
    if protocol == "dense":
        return [image, image[:, ::-1]]
    if protocol == "multi-crop":
        cuts = [image[top : top + crop, left : left + crop] for top, left in grid(height, width, crop, crop_grid)]
        return cuts + [cut[:, ::-1] for cut in cuts]
    top, left = centre(height, crop), centre(width, crop)
    return [image[top : top + crop, left : left + crop]]


def _rescaled(store: Store, net: VGG, scales: tuple[int, ...], workers: int) -> Iterator[tuple[int, int, Pixels]]:
    """(number, Q, rescaled image) of every image at every scale; an image is decoded once for all scales."""

    def one(i: int) -> list[tuple[int, int, Pixels]]:
        image = store.image(i)
        return [(i, Q, rescale(image, net.model.pixels(Q))) for Q in scales]

    numbers = iter(range(len(store)))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        while chunk := list(islice(numbers, 64)):
            for found in pool.map(one, chunk):
                yield from found


def _posteriors_of(net: VGG, pixels: NDArray[np.uint8], mean: Tensor, protocol: str, settings: Evaluate) -> Tensor:
    """Soft-max posteriors [B, classes] of views [B, H, W, 3] of one shape."""
    device = mean.device
    images = (torch.from_numpy(pixels).to(device).float() - mean).permute(0, 3, 1, 2)
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        if protocol != "dense":
            scores: Tensor = net(images)
            return scores.float().softmax(1)
        if settings.average == "scores":
            return net.scores(images).float().softmax(1)
        return net.score_map(images).float().softmax(1).mean((2, 3))


def posteriors(
    net: VGG,
    store: Store,
    mean: tuple[float, float, float],
    protocol: str,
    scales: tuple[int, ...],
    *,
    settings: Evaluate = DEFAULT,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, NDArray[np.float32]]:
    """Posteriors [images, classes] at every test scale Q, averaged over the views of an image.

    Images of exactly equal shape share a batch of at most `settings.batch_pixels`; nothing is padded. Every image is
    checked to have been seen once at every scale.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol is called {protocol!r}: expected one of {', '.join(PROTOCOLS)}")
    device = device or torch.device("cpu")
    mean_rgb = torch.tensor(mean, device=device)
    result = {Q: np.zeros((len(store), store.classes), np.float32) for Q in scales}
    seen = {Q: np.zeros(len(store), np.int64) for Q in scales}
    waiting: dict[tuple[int, ...], list[tuple[int, int, list[Pixels]]]] = defaultdict(list)

    def flush(shape: tuple[int, ...]) -> None:
        batch = waiting.pop(shape)
        pixels = np.stack([view for _, _, shown in batch for view in shown])
        found = _posteriors_of(net, pixels, mean_rgb, protocol, settings).cpu().numpy()
        for (i, Q, _), share in zip(batch, found.reshape(len(batch), -1, store.classes), strict=True):
            result[Q][i] = share.mean(0, dtype=np.float64)
            seen[Q][i] += 1

    with torch.inference_mode():
        total = len(store) * len(scales)
        for i, Q, image in tqdm(
            _rescaled(store, net, scales, workers), total=total, desc=about, unit="image", disable=None
        ):
            shown = views(image, protocol, net.model.crop, settings.crop_grid)
            shape = shown[0].shape
            waiting[shape].append((i, Q, shown))
            if (len(waiting[shape]) + 1) * len(shown) * shape[0] * shape[1] > settings.batch_pixels:
                flush(shape)
        for shape in list(waiting):
            flush(shape)
    assert all((counts == 1).all() for counts in seen.values()), "every image must be seen once at every scale"
    return result


def evaluate(
    run: Run,
    protocol: str,
    scales: tuple[int, ...],
    settings: Evaluate,
    *,
    weights_file: Path,
    val_folder: Path,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Evaluate a run under a protocol at several Q, and write a score store per Q into the folder `out`."""
    weights, store = checkpoint.load(weights_file), Store(val_folder)
    if weights.run != run or weights.classes != store.classes:
        raise ValueError(
            f"{weights_file}: holds {weights.run.name} for {weights.classes} classes, "
            f"expected {run.name} for the {store.classes} classes of {val_folder}: train it again"
        )
    net = weights.net().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.perf_counter()
    found = posteriors(
        net,
        store,
        weights.mean,
        protocol,
        scales,
        settings=settings,
        device=device,
        workers=workers,
        about=f"{run.name} {protocol}",
    )
    made = {
        "run": run.name,
        "weights": digest(weights_file),
        "protocol": protocol,
        "settings": settings.model_dump(mode="json"),
        "data": store.digest,
        "data set": store.about["data set"],
        "seconds": time.perf_counter() - started,
        "made": provenance.made(),
    }
    with atomic_folder(out) as temporary:
        for Q, values in found.items():
            scores.write(temporary / str(Q), values, store.labels, store.ids, made | {"Q": Q})
