"""The steps that need the net: centre crops with a right and a wrong input, and the dense image without its mirror image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vggrepro.core.files import file_digest
from vggrepro.data.devkit import read_wnids
from vggrepro.data.store import Store
from vggrepro.data.transforms import Pixels, centre
from vggrepro.diagnosis.decomposition import Ranks, stored_ranks, unmeasured_steps, write_decomposition
from vggrepro.diagnosis.steps import MISTAKES, START_Q, DecompositionStep, InputFormat, protocol_steps
from vggrepro.evaluation.batches import ImageSequence, batches_by_shape
from vggrepro.evaluation.evaluate import (
    DEFAULT_SETTINGS,
    computation_metadata,
    load_run_weights,
    posteriors_of_batch,
)
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.scores.ranks import true_class_ranks
from vggrepro.settings.blocks import EvaluateSettings


def squeezed_square(image: Pixels, side: int) -> Pixels:
    """The image squeezed or stretched to a square, with the filter of all other rescaling here."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def centre_crops(images: NDArray[np.uint8], crop: int) -> NDArray[np.uint8]:
    """The central crops [B, crop, crop, 3] of images [B, H, W, 3]."""
    top, left = centre(images.shape[1], crop), centre(images.shape[2], crop)
    return images[:, top : top + crop, left : left + crop]


def formatted_input(pixels: NDArray[np.uint8], mean: Tensor, input_format: InputFormat) -> Tensor:
    """The net's input [B, 3, H, W] from pixels [B, H, W, 3], on the device of the mean RGB [3]."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(mean.device).float()
    images = images.flip(3) if input_format.bgr else images
    images = images - mean if input_format.mean else images
    return (images / torch.tensor(input_format.divisor, device=mean.device)).permute(0, 3, 1, 2)


class _SquaredImages:
    """The images of a store. While one is decoded its squeezed square is cropped, and kept until it is taken."""

    def __init__(self, store: ImageSequence, side: int, crop: int) -> None:
        self.store, self.side, self.crop = store, side, crop
        self.crops: dict[int, Pixels] = {}

    def __len__(self) -> int:
        return len(self.store)

    def image(self, i: int) -> Pixels:
        image = self.store.image(i)
        self.crops[i] = centre_crops(squeezed_square(image, self.side)[None], self.crop)[0]
        return image

    def take_crops(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """The central crops [B, crop, crop, 3] of the squares of these images, once."""
        return np.stack([self.crops.pop(i) for i in numbers])


def _whole(image: Pixels, mirrored: bool) -> list[Pixels]:
    return [image, image[:, ::-1]] if mirrored else [image]


def computed_ranks(
    net: VGG,
    store: Store,
    steps: Sequence[DecompositionStep],
    *,
    mean: tuple[float, float, float],
    devkit_places: NDArray[np.int64] | None = None,
    settings: EvaluateSettings = DEFAULT_SETTINGS,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> list[Ranks]:
    """Ranks of the true classes under every step that needs the net; each image is decoded once for all of them.

    `devkit_places` [N] are the true classes' places in the devkit's order, for the step that takes the net's outputs to be
    in that order.
    """
    mean_rgb, crop = torch.tensor(mean, device=device or torch.device("cpu")), net.model.crop
    ranks = [np.zeros(len(store), np.int32) for _ in steps]
    images = _SquaredImages(store, net.model.pixels(START_Q), crop)
    show = partial(_whole, mirrored=any(step.view == "mirrored" for step in steps))
    batches = batches_by_shape(
        images, net, (START_Q,), show, batch_pixels=settings.batch_pixels, workers=workers, about=about
    )
    with torch.inference_mode():
        for members, rescaled in batches:
            numbers = [i for i, _ in members]
            views = {
                "square": images.take_crops(numbers),
                "crop": centre_crops(rescaled[:, 0], crop),
                "dense": rescaled[:, 0],
                "mirrored": rescaled.reshape(-1, *rescaled.shape[2:]),
            }
            posteriors = {}
            for view, input_format in _net_passes(steps):
                pixels = formatted_input(views[view], mean_rgb, input_format)
                posteriors[view, input_format] = _posteriors(net, pixels, view, len(numbers), settings)
            for step, step_ranks in zip(steps, ranks, strict=True):
                labels = devkit_places if step.devkit_order and devkit_places is not None else store.labels
                step_ranks[numbers] = true_class_ranks(posteriors[step.view, step.input], labels[numbers])
    return ranks


def _net_passes(steps: Sequence[DecompositionStep]) -> list[tuple[str, InputFormat]]:
    """The different views and input formats, each of which the net is run on once."""
    return list(dict.fromkeys((step.view, step.input) for step in steps))


PASSES_OF_WHOLE_IMAGES = {"dense": 1, "mirrored": 2}
"""Times that the net is run on a whole image, by view; all other views are centre crops."""


def _posteriors(net: VGG, pixels: Tensor, view: str, images: int, settings: EvaluateSettings) -> NDArray[np.float32]:
    """Posteriors [images, classes] of a view: the mean over an image and its mirror image is rounded once, as in a store."""
    protocol = "dense" if view in PASSES_OF_WHOLE_IMAGES else "centre-crop"
    posteriors = posteriors_of_batch(net, pixels, protocol, settings).cpu().numpy()
    means: NDArray[np.float64] = posteriors.reshape(images, -1, posteriors.shape[1]).mean(1, dtype=np.float64)
    return means.astype(np.float32)


def devkit_class_places(store: Store, devkit: Path) -> NDArray[np.int64]:
    """[N]: the images' classes as places in the devkit's order of the store's classes.

    Raises ValueError for a class that the devkit does not have.
    """
    numbers = {wnid: number for number, wnid in read_wnids(devkit).items()}
    wnids: list[str] = store.about["wnids"]
    if unknown := set(wnids) - set(numbers):
        raise ValueError(
            f"{devkit}: has no class {min(unknown)}, which {store.folder} has: only images of ILSVRC's classes have a place "
            "in its devkit"
        )
    place = {wnid: i for i, wnid in enumerate(sorted(wnids, key=numbers.__getitem__))}
    return np.array([place[wnid] for wnid in wnids])[store.labels]


def measure_decomposition(
    run: Run,
    *,
    settings: EvaluateSettings,
    weights_file: Path,
    val_folder: Path,
    scores_folder: Path | None,
    devkit: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Measure the steps and mistakes of a run, and write `why.json`, `why.csv` and `flips.csv` into the folder `out`.

    A step without the scores or the devkit that it needs is left out, and listed as missing.
    """
    store, started = Store(val_folder), time.perf_counter()
    weights, digest = load_run_weights(weights_file, run, store), file_digest(weights_file)
    steps, mistakes = protocol_steps(run), list(MISTAKES)
    missing = unmeasured_steps([*steps, *mistakes], scores_folder=scores_folder, devkit=devkit)
    steps, mistakes = ([step for step in group if step.name not in missing] for group in (steps, mistakes))
    computed = [step for step in (*steps, *mistakes) if step.view]
    computed_step_ranks = computed_ranks(
        weights.net_on(device),
        store,
        computed,
        mean=weights.mean,
        devkit_places=devkit_class_places(store, devkit) if devkit else None,
        settings=settings,
        device=device,
        workers=workers,
        about=f"{run.name}, why",
    )
    ranks = dict(zip([step.name for step in computed], computed_step_ranks, strict=True))
    if scores_folder:
        stored = [step for step in steps if step.system]
        ranks |= stored_ranks(scores_folder, stored, weights={run.name: digest}, data=store.digest)
    metadata = {
        "weights": digest,
        "passes": _pass_counts(computed),
        **computation_metadata(settings, device, time.perf_counter() - started),
    }
    write_decomposition(
        run, store=store, steps=steps, mistakes=mistakes, ranks=ranks, missing=missing, metadata=metadata, out=out
    )


def _pass_counts(steps: Sequence[DecompositionStep]) -> dict[str, int]:
    """How often the net was run on an image, by the kind of view."""
    views = [view for view, _ in _net_passes(steps)]
    return {
        "centre crops": sum(view not in PASSES_OF_WHOLE_IMAGES for view in views),
        "whole images": sum(PASSES_OF_WHOLE_IMAGES.get(view, 0) for view in views),
    }
