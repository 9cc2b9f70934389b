"""Posteriors of images under a protocol (section 3.2): dense, multi-crop, centre crop."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core import provenance
from vggrepro.core.devices import device_name
from vggrepro.core.files import atomic_folder, file_digest, is_made_of
from vggrepro.data.store import Store
from vggrepro.evaluation.batches import batch_limit, batches_by_shape
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.evaluation.views import input_of_views, views_of
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, load_weights
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import PROTOCOLS
from vggrepro.scores.stores import write_scores
from vggrepro.settings.blocks import EvaluateSettings

DEFAULT_SETTINGS = EvaluateSettings()


def evaluate_run(
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
    identity = result_identity(run, protocol, settings, weights_file, store)
    if all(is_made_of(out / str(Q) / "made.json", identity | {"Q": Q}) for Q in scales):
        print(
            f"{run.name} {protocol}: evaluated before with the same weights, images and settings: kept", file=sys.stderr
        )
        return
    weights = load_run_weights(weights_file, run, store)
    started = time.perf_counter()
    net = ready_for_inference(weights.net_on(device), settings)
    with record_inputs(net) as record:
        posteriors = compute_posteriors(
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
    metadata = identity | result_metadata(store, settings, device, time.perf_counter() - started)
    metadata["record"] = record.as_json(scales)
    with atomic_folder(out, "*/made.json") as root:
        for Q, values in posteriors.items():
            write_scores(root / str(Q), values, store.labels, store.ids, metadata | {"Q": Q})


def compute_posteriors(
    net: VGG,
    store: Store,
    mean: tuple[float, float, float],
    protocol: str,
    scales: tuple[int, ...],
    *,
    settings: EvaluateSettings = DEFAULT_SETTINGS,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, NDArray[np.float32]]:
    """Posteriors [images, classes] at every test scale Q, averaged over the views of an image.

    The net is used as it is: `ready_for_inference` makes one that is faster. Dense and multi-crop evaluation also show the
    mirror image of every view (PAPER 3.2). Raises ValueError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol is called {protocol!r}: expected one of {', '.join(PROTOCOLS)}")
    mean_rgb = torch.tensor(mean, device=device or torch.device("cpu"))
    result = {Q: np.zeros((len(store), store.classes), np.float32) for Q in scales}
    show = partial(views_of, protocol=protocol, crop=net.model.crop, crop_grid=settings.crop_grid)
    mirrored = protocol != "centre-crop"
    batch_pixels = batch_limit(settings, mean_rgb.device) // (1 + mirrored)
    batches = batches_by_shape(store, net, scales, show, batch_pixels=batch_pixels, workers=workers, about=about)
    with torch.inference_mode():
        for members, views in batches:
            images = input_of_views(views, mean_rgb, mirrored=mirrored)
            posteriors = posteriors_of_batch(net, images, protocol, settings).cpu().numpy()
            # of [mirrored or not, image, view, class]
            means = posteriors.reshape(-1, *views.shape[:2], store.classes).mean((0, 2), dtype=np.float64)
            for (i, Q), values in zip(members, means, strict=True):
                result[Q][i] = values
    return result


def posteriors_of_batch(net: VGG, images: Tensor, protocol: str, settings: EvaluateSettings) -> Tensor:
    """Soft-max posteriors [B, classes] of the net's input [B, 3, H, W]: whole images under dense, else crops."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        if protocol != "dense":
            scores: Tensor = net(images)
            return scores.float().softmax(1)
        if settings.average == "scores":
            return net.scores(images).float().softmax(1)
        return net.score_map(images).float().softmax(1).mean((2, 3))


def load_run_weights(weights_file: Path, run: Run, store: Store) -> Weights:
    """The weights of `run`, for the classes of `store`; a ValueError for those of another run or of other classes.

    A variant that is tested otherwise, and not trained, has the weights of the run that it varies.
    """
    weights = load_weights(weights_file)
    if weights.run not in (run, run.varied):
        raise ValueError(f"{weights_file}: holds {weights.run.name}, expected {run.name}")
    if list(weights.wnids) != store.about["wnids"]:
        raise ValueError(
            f"{weights_file}: was trained on {len(weights.wnids)} classes, the first is {weights.wnids[0]}; "
            f"{store.folder} has {store.classes} others, the first is {store.about['wnids'][0]}: train the run again"
        )
    return weights


def result_identity(
    run: Run, protocol: str, settings: EvaluateSettings, weights_file: Path, store: Store
) -> dict[str, object]:
    """What decides a store of scores or boxes, as its `made.json` says it; the test scale comes to it."""
    return {
        "run": run.name,
        "weights": file_digest(weights_file),
        "protocol": protocol,
        "data": store.digest,
        "settings": settings.model_dump(mode="json"),
    }


def result_metadata(
    store: Store, settings: EvaluateSettings, device: torch.device, seconds: float
) -> dict[str, object]:
    """What `made.json` of a store of scores or boxes says beside its identity: on which data, and how it was computed."""
    return {
        "data set": store.about["data set"],
        "classes": store.classes,
        **computation_metadata(settings, device, seconds),
    }


def computation_metadata(settings: EvaluateSettings, device: torch.device, seconds: float) -> dict[str, object]:
    """Settings, hardware, code and time of a computation."""
    return {
        "settings": settings.model_dump(mode="json"),
        "seconds": seconds,
        "device": device_name(device),
        "made": provenance.provenance_record(),
    }
