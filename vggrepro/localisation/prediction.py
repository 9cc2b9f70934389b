"""Boxes of images, from a net that predicts them (appendix A): on a centre crop, or densely over the whole image."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggrepro.core.files import atomic_folder, file_digest, is_made_of
from vggrepro.data.boxes import from_vectors
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre, rescaled_size, zoom_of
from vggrepro.evaluation.batches import batch_limit, batches_by_shape
from vggrepro.evaluation.evaluate import DEFAULT_SETTINGS, load_run_weights, result_identity, result_metadata
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.evaluation.views import input_of_views
from vggrepro.localisation.stores import BoxStore, ImageBoxes, box_store_of, write_boxes
from vggrepro.localisation.top5_labels import labelling_weights, read_top5_labels
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings

BOX_PROTOCOLS = ("dense", "centre-crop")


def _views(image: Pixels, protocol: str, crop: int) -> list[Pixels]:
    """The views of a rescaled image [H, W, 3] that the net is run on. CHOICE 9: no mirror image."""
    if protocol == "dense":
        return [image]
    top, left = (centre(side, crop) for side in image.shape[:2])
    return [image[top : top + crop, left : left + crop]]


def _output_map(net: VGG, images: Tensor, settings: EvaluateSettings) -> Tensor:
    """The net's map as [B, h, w, outputs], float32, of images [B, 3, H, W]; that of a crop has one location."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        outputs: Tensor = net.score_map(images)
    return outputs.float().permute(0, 2, 3, 1)


def _select_labels(values: Tensor, labels: Tensor) -> Tensor:
    """[B, h, w, K, ...]: the entries of values [B, h, w, classes, ...] for K labels [B, K] of each image."""
    return values.take_along_dim(labels.reshape(len(labels), 1, 1, -1, *[1] * (values.ndim - 4)), 3)


def _predict_batch(
    net: VGG, classifier: VGG | None, images: Tensor, labels: Tensor, settings: EvaluateSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Box vectors [B, h, w, K, 4] of images [B, 3, H, W] for K labels [B, K] of each, and the labels' posteriors.

    Without a classifier all posteriors are 1.
    """
    outputs = _output_map(net, images, settings)
    vectors = outputs.reshape(*outputs.shape[:3], -1, 4)
    # SCR: the one box of a location serves every label
    vectors = _select_labels(vectors, labels if vectors.shape[3] > 1 else torch.zeros_like(labels))
    if classifier is None:
        return vectors.cpu().numpy(), np.ones(vectors.shape[:4], np.float32)
    posteriors = _select_labels(_output_map(classifier, images, settings).softmax(3), labels)
    return vectors.cpu().numpy(), posteriors.cpu().numpy()


def window_corners(rows: int, columns: int, corner: tuple[int, int], unit: int) -> NDArray[np.int64]:
    """[rows, columns, 2]: left and top, in the rescaled image, of the window of each location of a map.

    Location (y, x) sees the window at (y, x) times the scale unit from the top-left `corner` of the net's view.
    """
    y, x = np.mgrid[:rows, :columns] * unit
    return np.stack([x + corner[1], y + corner[0]], -1)


def _image_boxes(
    vectors: NDArray[np.float32],
    posteriors: NDArray[np.float32],
    *,
    size: tuple[int, int],
    view: tuple[int, int],
    net: VGG,
    Q: int,
) -> ImageBoxes:
    """Boxes in pixels of the original image, from the box vectors [h, w, K, 4] of its view at Q.

    `size` and `view` are height and width of the original image and of the view.
    """
    height, width = size
    smallest, crop = net.model.pixels(Q), net.model.crop
    rescaled = rescaled_size(height, width, smallest)
    # of a crop the corner is where it was cut, of a whole image it is 0
    corner = centre(rescaled[0], view[0]), centre(rescaled[1], view[1])
    corners = window_corners(vectors.shape[0], vectors.shape[1], corner, net.model.scale_unit)[:, :, None]
    boxes = from_vectors(vectors, zoom_of(height, width, smallest), corners, crop).astype(np.float32)
    return boxes.reshape(-1, *boxes.shape[2:]), posteriors.reshape(-1, posteriors.shape[2])


def predict_boxes(
    net: VGG,
    store: Store,
    *,
    classifier: VGG | None,
    mean: tuple[float, float, float],
    protocol: str,
    scales: tuple[int, ...],
    labels: NDArray[np.int64],
    settings: EvaluateSettings = DEFAULT_SETTINGS,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> dict[int, BoxStore]:
    """The boxes of `labels` [N, K] of every image at every test scale Q, with their labels' posteriors.

    PAPER A.1: one box per location of the dense map, in the frame of the location's window, mapped back to pixels of the
    original image; scores come from the `classifier`'s map. Without one, all scores are 1. The nets are used as they are:
    `ready_for_inference` makes faster ones.

    Raises ValueError for a net whose outputs are neither 4 (SCR) nor 4 per class (PCR).
    """
    if protocol not in BOX_PROTOCOLS:
        raise ValueError(f"boxes are predicted under {' or '.join(BOX_PROTOCOLS)}, got {protocol!r}")
    if net.fc8.out_features not in (4, 4 * store.classes):
        raise ValueError(f"a net of {net.fc8.out_features} outputs predicts no boxes of {store.classes} classes")
    device = device or torch.device("cpu")
    mean_rgb = torch.tensor(mean, device=device)
    predictions: dict[int, dict[int, ImageBoxes]] = {Q: {} for Q in scales}
    show = partial(_views, protocol=protocol, crop=net.model.crop)
    batches = batches_by_shape(
        store, net, scales, show, batch_pixels=batch_limit(settings, device), workers=workers, about=about
    )
    with torch.inference_mode():
        for members, views in batches:
            images = input_of_views(views, mean_rgb)
            batch_labels = torch.from_numpy(labels[[i for i, _ in members]]).to(device)
            batch = _predict_batch(net, classifier, images, batch_labels, settings)
            for (i, Q), vectors, posteriors in zip(members, *batch, strict=True):
                predictions[Q][i] = _image_boxes(
                    vectors, posteriors, size=store.size(i), view=views.shape[2:4], net=net, Q=Q
                )
    return {
        Q: box_store_of(store, [images[i] for i in range(len(store))], box_labels=labels)
        for Q, images in predictions.items()
    }


def localise(
    run: Run,
    *,
    protocol: str,
    scales: tuple[int, ...],
    classifier_file: Path | None,
    labels_folder: Path | None,
    val_folder: Path,
    settings: EvaluateSettings,
    weights_file: Path,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Predict the boxes of validation images at several Q, and write a box store per Q into the folder `out`.

    PAPER A.1: for the labels in `labels_folder` (`write_top5_labels`), scored by the classification net that the run was
    initialised from; without it, for the true class of every image (the first protocol).

    Raises ValueError for images without true boxes, and for weights of another run.
    """
    store = Store(val_folder)
    _check_annotated(store)
    identity = result_identity(run, protocol, settings, weights_file, store) | {
        "classifier": file_digest(classifier_file) if classifier_file else None,
        "answers": file_digest(labels_folder / "answers.npy") if labels_folder else "the true classes",
    }
    # without the key where nothing is known of them: boxes of before are kept
    if labels_folder and (labelled_by := labelling_weights(labels_folder)):
        identity |= {"labelled by": labelled_by}
    if all(is_made_of(out / str(Q) / "made.json", identity | {"Q": Q}) for Q in scales):
        print(
            f"{run.name} {protocol}: predicted before with the same weights, images and settings: kept", file=sys.stderr
        )
        return
    weights = load_run_weights(weights_file, run, store)
    labels = read_top5_labels(labels_folder, store) if labels_folder else store.labels[:, None]
    parent = run.parent()
    assert parent is not None, "a run that predicts boxes is initialised from a classification net"
    classifier_weights = load_run_weights(classifier_file, parent, store) if classifier_file else None
    started = time.perf_counter()
    net = ready_for_inference(weights.net_on(device), settings)
    classifier = ready_for_inference(classifier_weights.net_on(device), settings) if classifier_weights else None
    with record_inputs(net) as record:
        predictions = predict_boxes(
            net,
            store,
            classifier=classifier,
            mean=weights.mean,
            protocol=protocol,
            scales=scales,
            labels=labels,
            settings=settings,
            device=device,
            workers=workers,
            about=f"{run.name} {protocol}",
        )
    metadata = identity | result_metadata(store, settings, device, time.perf_counter() - started)
    metadata["record"] = record.as_json(scales)
    with atomic_folder(out, "*/made.json") as root:
        for Q, boxes in predictions.items():
            write_boxes(root / str(Q), boxes, metadata | {"Q": Q})


def _check_annotated(store: Store) -> None:
    if not store.annotated.all():
        raise ValueError(
            f"{store.folder}: {int((~store.annotated).sum())} of {len(store)} images have no true box to judge by: "
            "prepare them with their annotations, or leave out Tables 8 to 10 (localisation=false)"
        )
