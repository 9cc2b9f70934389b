"""Posteriors of images under a protocol (section 3.2): dense, multi-crop, centre crop."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core import provenance
from vggrepro.core.devices import device_name
from vggrepro.core.files import file_digest
from vggrepro.core.progress import prefetch, show_progress
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre, grid, rescale
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG, net_input
from vggrepro.nets.weights import Weights, load_weights
from vggrepro.paper.runs import PROTOCOLS, SMALLEST_Q, Run
from vggrepro.scores import stores as scores
from vggrepro.settings.blocks import EvaluateSettings

DEFAULT = EvaluateSettings()


AT_MOST = 8
"""Batches' worth of pixels that wait for images of their shape."""


Views = list[Pixels]
"""What the net is shown of an image, all of one shape [H, W, 3]."""


def whole(image: Pixels) -> Views:
    """The image as it is."""
    return [image]


def views(image: Pixels, protocol: str, crop: int, crop_grid: str) -> Views:
    """What the net is shown of a rescaled image [H, W, 3], but for mirror images."""
    height, width = image.shape[:2]
    if protocol == "dense":
        return [image]
    corners = [(centre(height, crop), centre(width, crop))]
    if protocol == "multi-crop":
        corners = grid(height, width, crop, crop_grid)
    return [image[top : top + crop, left : left + crop] for top, left in corners]


def net_views(pixels: NDArray[np.uint8], mean: Tensor, *, mirrored: bool = False) -> Tensor:
    """What a net is given of views [B, views, H, W, 3]: [B views, 3, H, W] on the mean's device; then their mirror images."""
    shown = torch.from_numpy(pixels).flatten(0, 1).to(mean.device)
    # of bytes, and there: a quarter of the copying
    return net_input(torch.cat([shown, shown.flip(2)]) if mirrored else shown, -mean[None])


def _shown(
    store: ImageSequence, net: VGG, scales: tuple[int, ...], show: Callable[[Pixels], Views], workers: int
) -> Iterator[tuple[int, int, Pixels]]:
    """(number, Q, views [views, H, W, 3]) of every image at every scale; an image is decoded once for all scales."""

    def one(i: int) -> list[tuple[int, int, Pixels]]:
        image = store.image(i)
        return [(i, Q, np.stack(show(rescale(image, net.model.pixels(Q))))) for Q in scales]

    for found in prefetch(one, range(len(store)), workers=workers, waiting=4 * workers):
        yield from found


def classified(net: VGG, images: Tensor, protocol: str, settings: EvaluateSettings) -> Tensor:
    """Soft-max posteriors [B, classes] of images [B, 3, H, W] as the net is given them: whole ones under dense, else crops."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        if protocol != "dense":
            scores: Tensor = net(images)
            return scores.float().softmax(1)
        if settings.average == "scores":
            return net.scores(images).float().softmax(1)
        return net.score_map(images).float().softmax(1).mean((2, 3))


Members = list[tuple[int, int]]
"""(number, Q) of the images of a batch."""


class ImageSequence(Protocol):
    """Images in a fixed order: a prepared store, or a collection as it lies on disk."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Pixels:
        """The pixels [H, W, 3] of image `i`."""
        ...


def by_shape(
    store: ImageSequence,
    net: VGG,
    scales: tuple[int, ...],
    show: Callable[[Pixels], Views],
    *,
    batch_pixels: int,
    workers: int,
    about: str,
) -> Iterator[tuple[Members, NDArray[np.uint8]]]:
    """Batches of images of exactly equal shape, nothing padded: their (number, Q), and their views [B, views, H, W, 3].

    A batch has at most `batch_pixels` pixels, or one image. Every image is checked to have been seen once at every scale.
    """
    if len(set(scales)) < len(scales) or min(scales) < SMALLEST_Q:
        raise ValueError(
            f"test scales Q: expected different ones of at least {SMALLEST_Q}, the net's input, got {scales}"
        )
    waiting: dict[tuple[int, ...], list[tuple[int, int, Pixels]]] = defaultdict(list)
    seen: Counter[tuple[int, int]] = Counter()

    def pixels_of(shape: tuple[int, ...]) -> int:
        return sum(len(shown) for _, _, shown in waiting[shape]) * shape[0] * shape[1]

    def take(shape: tuple[int, ...]) -> tuple[Members, NDArray[np.uint8]]:
        batch = waiting.pop(shape)
        members = [(i, Q) for i, Q, _ in batch]
        seen.update(members)
        return members, np.stack([shown for _, _, shown in batch])

    images, pixels = _shown(store, net, scales, show, workers), 0
    for i, Q, shown in show_progress(images, total=len(store) * len(scales), about=about, unit="image"):
        shape, more = shown.shape[1:], shown.size // 3
        waiting[shape].append((i, Q, shown))
        pixels += more
        full = shape if pixels_of(shape) + more > batch_pixels else None
        if full is None and pixels > AT_MOST * batch_pixels:
            # thousands of rare shapes must not fill the memory: the fullest batch goes as it is
            full = max(waiting, key=pixels_of)
        if full is not None:
            pixels -= pixels_of(full)
            yield take(full)
    for shape in list(waiting):
        yield take(shape)
    assert set(seen.values()) <= {1}, "an image was seen twice"
    assert len(seen) == len(store) * len(scales), "every image must be seen at every scale"


def posteriors(
    net: VGG,
    store: Store,
    mean: tuple[float, float, float],
    protocol: str,
    scales: tuple[int, ...],
    *,
    settings: EvaluateSettings = DEFAULT,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, NDArray[np.float32]]:
    """Posteriors [images, classes] at every test scale Q, averaged over the views of an image."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol is called {protocol!r}: expected one of {', '.join(PROTOCOLS)}")
    mean_rgb = torch.tensor(mean, device=device or torch.device("cpu"))
    result = {Q: np.zeros((len(store), store.classes), np.float32) for Q in scales}
    show = partial(views, protocol=protocol, crop=net.model.crop, crop_grid=settings.crop_grid)
    mirrored = protocol != "centre-crop"
    most = settings.batch_pixels // (1 + mirrored)
    net = ready_for_inference(net, settings.precision)
    with torch.inference_mode():
        for members, shown in by_shape(store, net, scales, show, batch_pixels=most, workers=workers, about=about):
            found = classified(net, net_views(shown, mean_rgb, mirrored=mirrored), protocol, settings).cpu().numpy()
            shares = found.reshape(-1, *shown.shape[:2], store.classes).mean((0, 2), dtype=np.float64)
            for (i, Q), share in zip(members, shares, strict=True):
                result[Q][i] = share
    return result


def load_run_weights(weights_file: Path, run: Run, store: Store) -> Weights:
    """The weights of `run`, for the classes of `store`; a ValueError for those of another run or of other classes."""
    weights = load_weights(weights_file)
    if weights.run != run:
        raise ValueError(f"{weights_file}: holds {weights.run.name}, expected {run.name}")
    if list(weights.wnids) != store.about["wnids"]:
        raise ValueError(
            f"{weights_file}: knows {len(weights.wnids)} classes from {weights.wnids[0]}, {store.folder} has "
            f"{store.classes} others from {store.about['wnids'][0]}: train it again"
        )
    return weights


def evaluate(
    run: Run,
    protocol: str,
    scales: tuple[int, ...],
    settings: EvaluateSettings,
    *,
    weights_file: Path,
    val_folder: Path,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Evaluate a run under a protocol at several Q, and write a score store per Q into the folder `out`."""
    store = Store(val_folder)
    weights = load_run_weights(weights_file, run, store)
    started = time.perf_counter()
    with record_inputs(net := weights.net_on(device)) as shown:
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
    made = about_result(run, protocol, settings, weights_file, store, device, time.perf_counter() - started)
    made["record"] = shown.as_json(scales)
    for Q, values in found.items():
        scores.write_scores(out / str(Q), values, store.labels, store.ids, made | {"Q": Q})


def about_result(
    run: Run,
    protocol: str,
    settings: EvaluateSettings,
    weights_file: Path,
    store: Store,
    device: torch.device,
    seconds: float,
) -> dict[str, object]:
    """What a store of scores or boxes says of how it was made."""
    return {
        "run": run.name,
        "weights": file_digest(weights_file),
        "protocol": protocol,
        "data": store.digest,
        "data set": store.about["data set"],
        "classes": store.classes,
        **how_computed(settings, device, seconds),
    }


def how_computed(settings: EvaluateSettings, device: torch.device, seconds: float) -> dict[str, object]:
    """Settings, hardware, code and time of what a net computed."""
    return {
        "settings": settings.model_dump(mode="json"),
        "seconds": seconds,
        "device": device_name(device),
        "made": provenance.provenance_record(),
    }
