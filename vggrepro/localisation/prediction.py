"""Boxes of images, from a net that predicts them (appendix A): on a centre crop, or densely over the whole image."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core.files import file_digest
from vggrepro.data.boxes import from_vectors
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre, rescaled_size, zoom_of
from vggrepro.evaluation.batches import batches_by_shape
from vggrepro.evaluation.evaluate import DEFAULT_SETTINGS, load_run_weights, result_metadata
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.evaluation.views import input_of_views
from vggrepro.localisation.stores import BoxStore, boxes_of_images, write_boxes
from vggrepro.localisation.top5_labels import read_top5_labels
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings

BOX_PROTOCOLS = ("dense", "centre-crop")


def _view(image: Pixels, protocol: str, crop: int) -> list[Pixels]:
    """What the net is shown of a rescaled image [H, W, 3]. CHOICE 9: no mirror image."""
    if protocol == "dense":
        return [image]
    top, left = (centre(side, crop) for side in image.shape[:2])
    return [image[top : top + crop, left : left + crop]]


def _map(net: VGG, images: Tensor, settings: EvaluateSettings) -> Tensor:
    """The net's map as [B, h, w, outputs], float32, of images [B, 3, H, W]; of a crop it has one location."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        found: Tensor = net.score_map(images)
    return found.float().permute(0, 2, 3, 1)


def _of_labels(found: Tensor, labels: Tensor) -> Tensor:
    """[B, h, w, K, ...]: what `found` [B, h, w, classes, ...] says of K labels [B, K] of each image."""
    return found.take_along_dim(labels.reshape(len(labels), 1, 1, -1, *[1] * (found.ndim - 4)), 3)


def _predicted(
    net: VGG, classifier: VGG | None, images: Tensor, labels: Tensor, settings: EvaluateSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Box vectors [B, h, w, K, 4] of images [B, 3, H, W] for K labels [B, K] of each, and the labels' posteriors."""
    vectors = _map(net, images, settings)
    vectors = vectors.reshape(*vectors.shape[:3], -1, 4)
    # SCR: the one box of a location serves every label
    vectors = _of_labels(vectors, labels if vectors.shape[3] > 1 else torch.zeros_like(labels))
    if classifier is None:
        return vectors.cpu().numpy(), np.ones(vectors.shape[:4], np.float32)
    posteriors = _of_labels(_map(classifier, images, settings).softmax(3), labels)
    return vectors.cpu().numpy(), posteriors.cpu().numpy()


def windows(rows: int, columns: int, corner: tuple[int, int], unit: int) -> NDArray[np.int64]:
    """[rows, columns, 2]: left and top, in the rescaled image, of the window of each location of a map.

    Location (y, x) sees the window at (y, x) times the scale unit from the top-left `corner` of what the net was shown.
    """
    y, x = np.mgrid[:rows, :columns] * unit
    return np.stack([x + corner[1], y + corner[0]], -1)


def predict_boxes(
    net: VGG,
    classifier: VGG | None,
    store: Store,
    mean: tuple[float, float, float],
    protocol: str,
    scales: tuple[int, ...],
    labels: NDArray[np.int64],
    *,
    settings: EvaluateSettings = DEFAULT_SETTINGS,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, BoxStore]:
    """The boxes of `labels` [N, K] of every image at every test scale Q, with their labels' posteriors.

    PAPER A.1: one box per location of the dense map, in the frame of the location's window, mapped back to pixels of the
    original image; scores come from the `classifier`'s map. Without one, all scores are 1. The nets are used as they are:
    `ready_for_inference` makes ones that are faster.

    Raises ValueError for a net whose outputs are neither 4 (SCR) nor 4 per class (PCR).
    """
    if protocol not in BOX_PROTOCOLS:
        raise ValueError(f"boxes are predicted under {' or '.join(BOX_PROTOCOLS)}, got {protocol!r}")
    if net.fc8.out_features not in (4, 4 * store.classes):
        raise ValueError(f"a net of {net.fc8.out_features} outputs predicts no boxes of {store.classes} classes")
    device, crop = device or torch.device("cpu"), net.model.crop
    mean_rgb = torch.tensor(mean, device=device)
    found: dict[int, list[Any]] = {Q: [None] * len(store) for Q in scales}
    show = partial(_view, protocol=protocol, crop=crop)
    batches = batches_by_shape(
        store, net, scales, show, batch_pixels=settings.batch_pixels, workers=workers, about=about
    )
    with torch.inference_mode():
        for members, shown in batches:
            images = input_of_views(shown, mean_rgb)
            asked = torch.from_numpy(labels[[i for i, _ in members]]).to(device)
            predicted = _predicted(net, classifier, images, asked, settings)
            for (i, Q), vectors, posteriors in zip(members, *predicted, strict=True):
                height, width = store.size(i)
                rescaled = rescaled_size(height, width, net.model.pixels(Q))
                # of a crop the corner is where it was cut, of a whole image it is 0
                corner = centre(rescaled[0], shown.shape[2]), centre(rescaled[1], shown.shape[3])
                corners = windows(vectors.shape[0], vectors.shape[1], corner, net.model.scale_unit)[:, :, None]
                zoom = zoom_of(height, width, net.model.pixels(Q))
                boxes = from_vectors(vectors, zoom, corners, crop).astype(np.float32)
                found[Q][i] = boxes.reshape(-1, *boxes.shape[2:]), posteriors.reshape(-1, posteriors.shape[2])
    return {Q: boxes_of_images(store, rows, labels) for Q, rows in found.items()}


def localise(
    run: Run,
    protocol: str,
    scales: tuple[int, ...],
    settings: EvaluateSettings,
    *,
    weights_file: Path,
    classifier_file: Path | None,
    answers_folder: Path | None,
    val_folder: Path,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Predict the boxes of validation images at several Q, and write a box store per Q into the folder `out`.

    PAPER A.1: of the labels in `answers_folder`, scored by the classification net that the run began with; without it, of
    the true class of every image (the first protocol).
    """
    store = Store(val_folder)
    if not store.annotated.all():
        raise ValueError(
            f"{val_folder}: {int((~store.annotated).sum())} of {len(store)} images have no true box to judge by: "
            "prepare them with their annotations, or leave out Tables 8 to 10 (localisation=false)"
        )
    weights = load_run_weights(weights_file, run, store)
    labels = read_top5_labels(answers_folder, store) if answers_folder else store.labels[:, None]
    parent = run.parent()
    assert parent is not None, "a run that predicts boxes begins with a classification net"
    scorer = load_run_weights(classifier_file, parent, store) if classifier_file else None
    started = time.perf_counter()
    net = ready_for_inference(weights.net_on(device), settings)
    classifier = ready_for_inference(scorer.net_on(device), settings) if scorer else None
    with record_inputs(net) as shown:
        found = predict_boxes(
            net,
            classifier,
            store,
            weights.mean,
            protocol,
            scales,
            labels,
            settings=settings,
            device=device,
            workers=workers,
            about=f"{run.name} {protocol}",
        )
    seconds = time.perf_counter() - started
    made = result_metadata(run, protocol, settings, weights_file, store, device, seconds)
    made["record"] = shown.as_json(scales)
    made["classifier"] = file_digest(classifier_file) if classifier_file else None
    made["answers"] = file_digest(answers_folder / "answers.npy") if answers_folder else "the true classes"
    for Q, boxes in found.items():
        write_boxes(out / str(Q), boxes, made | {"Q": Q})
