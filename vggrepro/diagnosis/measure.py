"""The rungs of the ladder that need a net: centre crops, right and wrong, and the dense image without its mirror image."""

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
from vggrepro.diagnosis import ladder
from vggrepro.diagnosis.ladder import START_Q, Input, Ranks, Rung
from vggrepro.evaluation.evaluate import DEFAULT, ImageSequence, by_shape, classified, how_computed, load_run_weights
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.scores.ranks import true_class_ranks
from vggrepro.settings.blocks import EvaluateSettings


def square(image: Pixels, side: int) -> Pixels:
    """The image squeezed or stretched to a square, with the filter that every rescaling here has."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def middle(images: NDArray[np.uint8], crop: int) -> NDArray[np.uint8]:
    """The central crops [B, crop, crop, 3] of images [B, H, W, 3]."""
    top, left = centre(images.shape[1], crop), centre(images.shape[2], crop)
    return images[:, top : top + crop, left : left + crop]


def fed(pixels: NDArray[np.uint8], mean: Tensor, how: Input) -> Tensor:
    """Images [B, 3, H, W] as the net is given them, from pixels [B, H, W, 3]; on the device of the mean RGB."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(mean.device).float()
    images = images.flip(3) if how.reverse else images
    images = images - mean if how.mean else images
    return (images / torch.tensor(how.divisor, device=mean.device)).permute(0, 3, 1, 2)


class _Squared:
    """The images of a store, each squeezed to a square while it is decoded, and the square kept until it is asked for."""

    def __init__(self, store: ImageSequence, side: int, crop: int) -> None:
        self.store, self.side, self.crop = store, side, crop
        self.kept: dict[int, Pixels] = {}

    def __len__(self) -> int:
        return len(self.store)

    def image(self, i: int) -> Pixels:
        image = self.store.image(i)
        self.kept[i] = middle(square(image, self.side)[None], self.crop)[0]
        return image


def _whole(image: Pixels, mirrored: bool) -> list[Pixels]:
    return [image, image[:, ::-1]] if mirrored else [image]


def computed_ranks(
    net: VGG,
    store: Store,
    mean: tuple[float, float, float],
    rungs: Sequence[Rung],
    *,
    official: NDArray[np.int64] | None = None,
    settings: EvaluateSettings = DEFAULT,
    device: torch.device | None = None,
    workers: int = 0,
    about: str = "",
) -> list[Ranks]:
    """Ranks [N] of the true classes under every rung that needs the net, each image decoded once for all of them.

    `official` [N] are the labels in the devkit's order, for the rung that has the order wrong.
    """
    mean_rgb, crop = torch.tensor(mean, device=device or torch.device("cpu")), net.model.crop
    found = [np.zeros(len(store), np.int32) for _ in rungs]
    images = _Squared(store, net.model.pixels(START_Q), crop)
    show = partial(_whole, mirrored=any(rung.view == "mirrored" for rung in rungs))
    batches = by_shape(images, net, (START_Q,), show, batch_pixels=settings.batch_pixels, workers=workers, about=about)
    with torch.inference_mode():
        for members, shown in batches:
            which = [i for i, _ in members]
            views = {
                "square": np.stack([images.kept.pop(i) for i in which]),
                "crop": middle(shown[:, 0], crop),
                "dense": shown[:, 0],
                "mirrored": shown.reshape(-1, *shown.shape[2:]),
            }
            posteriors = {}
            for view, how in dict.fromkeys((rung.view, rung.input) for rung in rungs):
                protocol = "dense" if view in ("dense", "mirrored") else "centre-crop"
                flat = classified(net, fed(views[view], mean_rgb, how), protocol, settings).cpu().numpy()
                # the mean over an image and its mirror image is rounded once, as in a score store
                shares = flat.reshape(len(which), -1, store.classes).mean(1, dtype=np.float64)
                posteriors[view, how] = shares.astype(np.float32)
            for rung, ranks in zip(rungs, found, strict=True):
                labels = official if rung.official and official is not None else store.labels
                ranks[which] = true_class_ranks(posteriors[rung.view, rung.input], labels[which])
    return found


def official_class_places(store: Store, devkit: Path) -> NDArray[np.int64]:
    """[N]: the images' classes as places in the devkit's order of those that the store has.

    Raises ValueError where the devkit does not know a class.
    """
    numbers = {wnid: number for number, wnid in read_wnids(devkit).items()}
    wnids: list[str] = store.about["wnids"]
    if unknown := set(wnids) - set(numbers):
        raise ValueError(f"{devkit}: does not know class {min(unknown)} of {store.folder}: it is ILSVRC's devkit")
    place = {wnid: i for i, wnid in enumerate(sorted(wnids, key=numbers.__getitem__))}
    return np.array([place[wnid] for wnid in wnids])[store.labels]


def measure_decomposition(
    run: Run,
    settings: EvaluateSettings,
    *,
    weights_file: Path,
    val_folder: Path,
    scores_folder: Path | None,
    devkit: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Measure the ladder of a run and its mistakes, and write `why.json`, `why.csv` and `flips.csv` into the folder `out`.

    A rung whose scores are not there is left out, and said to be.
    """
    store, started = Store(val_folder), time.perf_counter()
    weights = load_run_weights(weights_file, run, store)
    steps, wrong = ladder.rungs(run), ladder.mistakes()
    lacking = ladder.unmeasured_rungs(scores_folder, [*steps, *wrong], devkit)
    steps, wrong = ([rung for rung in rungs if rung.name not in lacking] for rungs in (steps, wrong))
    nets = [rung for rung in (*steps, *wrong) if rung.view]
    ranks = computed_ranks(
        weights.net_on(device),
        store,
        weights.mean,
        nets,
        official=official_class_places(store, devkit) if devkit else None,
        settings=settings,
        device=device,
        workers=workers,
        about=f"{run.name}, why",
    )
    found = dict(zip([rung.name for rung in nets], ranks, strict=True))
    known = {run.name: file_digest(weights_file)}
    if scores_folder:
        found |= ladder.stored_ranks(scores_folder, [rung for rung in steps if rung.system], known, store.digest)
    made = {
        "weights": known[run.name],
        "passes": _passes(nets),
        **how_computed(settings, device, time.perf_counter() - started),
    }
    ladder.write_decomposition(run, store, steps, wrong, found, lacking=lacking, made=made, out=out)


def _passes(rungs: Sequence[Rung]) -> dict[str, int]:
    """How often the net saw an image, by what it saw."""
    distinct = dict.fromkeys((rung.view, rung.input) for rung in rungs)
    whole = {"dense": 1, "mirrored": 2}
    return {
        "centre crops": sum(view not in whole for view, _ in distinct),
        "whole images": sum(whole.get(view, 0) for view, _ in distinct),
    }
