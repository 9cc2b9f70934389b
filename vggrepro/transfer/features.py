"""Features of images for transfer (appendix B): the output of a net without its last layer, for whole images."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core.files import atomic_folder, file_digest, is_made_of, write_json
from vggrepro.data.collections import Collection
from vggrepro.evaluation.batches import batch_limit, batches_by_shape
from vggrepro.evaluation.evaluate import DEFAULT_SETTINGS, computation_metadata
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.evaluation.views import input_of_views, whole_image
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings


def extract_features(
    net: VGG,
    collection: Collection,
    *,
    mean: tuple[float, float, float],
    scales: tuple[int, ...],
    settings: EvaluateSettings = DEFAULT_SETTINGS,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, NDArray[np.float32]]:
    """PAPER B: activations [N, fc] of the second FC layer at every Q, averaged over space and with the mirror image.

    CHOICE 10: after the ReLU.
    """
    device = device or torch.device("cpu")
    mean_rgb = torch.tensor(mean, device=device)
    features = {Q: np.zeros((len(collection), net.model.fc), np.float32) for Q in scales}
    batches = batches_by_shape(
        collection,
        net,
        scales,
        whole_image,
        batch_pixels=batch_limit(settings, device) // 2,
        workers=workers,
        about=about,
    )
    with torch.inference_mode():
        for members, views in batches:
            images = input_of_views(views, mean_rgb, mirrored=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                hidden = net.hidden_map(images)
            values = hidden.float().mean((1, 2)).reshape(2, len(members), -1).mean(0).cpu().numpy()
            for (i, Q), value in zip(members, values, strict=True):
                features[Q][i] = value
    return features


def write_features(
    run: Run,
    *,
    name: str,
    collection: Collection,
    scales: tuple[int, ...],
    settings: EvaluateSettings,
    weights_file: Path,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Write the features of a collection, called `name`: `<Q>.npy` [N, fc] for every scale, `ids.txt`, `made.json`.

    Raises ValueError for weights of another run, and for features that are not finite.
    """
    identity = {
        "run": run.name,
        "weights": file_digest(weights_file),
        "name": name,
        "data": collection.digest,
        "scales": list(scales),
        "settings": settings.model_dump(mode="json"),
    }
    if is_made_of(out / "made.json", identity):
        about = f"{run.name}, {collection.title}: computed before with the same weights, images and settings: kept"
        print(about, file=sys.stderr)
        return
    weights = load_weights(weights_file)
    if weights.run != run:
        raise ValueError(f"{weights_file}: holds {weights.run.name}, expected {run.name}")
    started = time.perf_counter()
    net = ready_for_inference(weights.net_on(device), settings)
    with record_inputs(net) as record:
        features = extract_features(
            net,
            collection,
            mean=weights.mean,
            scales=scales,
            settings=settings,
            device=device,
            workers=workers,
            about=f"{run.name}, {collection.title}",
        )
    metadata = identity | {
        "collection": collection.title,
        "images": len(collection),
        "record": record.as_json(scales),
        **computation_metadata(settings, device, time.perf_counter() - started),
    }
    with atomic_folder(out, "made.json") as root:
        for Q, values in features.items():
            if not np.isfinite(values).all():
                raise ValueError(
                    f"the features of {run.name} at Q = {Q} are not finite: the net diverged, train it again"
                )
            np.save(root / f"{Q}.npy", values)
        (root / "ids.txt").write_text("".join(f"{image}\n" for image in collection.ids), encoding="utf-8")
        write_json(root / "made.json", metadata)
