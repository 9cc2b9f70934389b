"""Posteriors of images under a protocol (section 3.2): dense, multi-crop, centre crop."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro import checkpoint, provenance, scores
from vggrepro.catalogue import PROTOCOLS, SMALLEST_Q, Run
from vggrepro.config import Evaluate
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre, grid, rescale
from vggrepro.files import digest
from vggrepro.flow import ahead, progress
from vggrepro.nets import VGG

DEFAULT = Evaluate()


def device_name(device: torch.device) -> str:
    """What a result says that it was computed on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


AT_MOST = 8
"""Batches' worth of pixels that wait for images of their shape."""


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

    for found in ahead(one, range(len(store)), workers=workers, waiting=4 * workers):
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
    if len(set(scales)) < len(scales) or min(scales) < SMALLEST_Q:
        raise ValueError(
            f"test scales Q: expected different ones of at least {SMALLEST_Q}, the net's input, got {scales}"
        )
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

    def pixels_of(shape: tuple[int, ...]) -> int:
        return sum(len(shown) for _, _, shown in waiting[shape]) * shape[0] * shape[1]

    with torch.inference_mode():
        images, pixels = _rescaled(store, net, scales, workers), 0
        for i, Q, image in progress(images, total=len(store) * len(scales), about=about, unit="image"):
            shown = views(image, protocol, net.model.crop, settings.crop_grid)
            shape, more = shown[0].shape, len(shown) * shown[0].shape[0] * shown[0].shape[1]
            waiting[shape].append((i, Q, shown))
            pixels += more
            full = shape if pixels_of(shape) + more > settings.batch_pixels else None
            if full is None and pixels > AT_MOST * settings.batch_pixels:
                # thousands of rare shapes must not fill the memory: the fullest batch goes as it is
                full = max(waiting, key=pixels_of)
            if full is not None:
                pixels -= pixels_of(full)
                flush(full)
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
    if weights.run != run:
        raise ValueError(f"{weights_file}: holds {weights.run.name}, expected {run.name}")
    if list(weights.wnids) != store.about["wnids"]:
        raise ValueError(
            f"{weights_file}: knows {len(weights.wnids)} classes from {weights.wnids[0]}, {val_folder} has "
            f"{store.classes} others from {store.about['wnids'][0]}: train it again"
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
        "device": device_name(device),
        "made": provenance.made(),
    }
    for Q, values in found.items():
        scores.write(out / str(Q), values, store.labels, store.ids, made | {"Q": Q})
