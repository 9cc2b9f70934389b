"""A released net takes the place of a training: its weights are converted into a run of ours, and checked on images.

A file does not say in which order it has channels, classes or kernels. Therefore the declared reading is compared with all
others on validation images; where another one makes far fewer errors it is named, and nothing is written.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.checksums import write_checksums
from vggrepro.core.devices import device_name
from vggrepro.core.files import file_digest, write_json
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.evaluation.evaluate import DEFAULT_SETTINGS, compute_posteriors
from vggrepro.external.formats import ReleasedNet, read_released_net
from vggrepro.external.readings import (
    READING_VALUES,
    differing_respects,
    mean_of,
    reading_of,
    reading_text,
    tensors_in_our_layout,
)
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings, ReadingSettings
from vggrepro.settings.downloads import Recipe, released_net

SAMPLE_SIZE = 400
"""Images that readings are compared on, about."""
STANDARD_ERRORS = 3.0
"""A difference between readings counts if it exceeds so many standard errors."""
Q = 256
"""Test scale of the comparison."""


@dataclass
class ReleasedCandidate:
    """A released net as a run of ours, under any reading."""

    released: ReleasedNet
    run: Run
    model: NetSettings
    store: Store
    devkit_places: NDArray[np.int64] | None
    """For every class in the devkit's order its place among the sorted WNIDs; None without a devkit."""
    device: torch.device
    workers: int
    best_outputs: dict[ReadingSettings, NDArray[np.int64]] = field(default_factory=dict)
    """The output with the highest posterior for each sample image, by the readings that were tried. An order of classes
    changes no outputs, so that all orders share those of the sorted one."""

    def weights(self, reading: ReadingSettings) -> Weights:
        """The run's weights, outputs in the order of the sorted WNIDs. Raises ValueError for another net or other classes."""
        wnids = tuple(self.store.about["wnids"])
        with torch.device("meta"):
            net = VGG(self.run.net, len(wnids), self.model)
        tensors = tensors_in_our_layout(self.released, reading, net)
        order = torch.from_numpy(np.argsort(self.class_places(reading)))
        for kind in ("weight", "bias"):
            tensors[f"fc8.{kind}"] = tensors[f"fc8.{kind}"][order].contiguous()
        return Weights(self.run, self.model, wnids, mean_of(self.released, reading), tensors)

    def class_places(self, reading: ReadingSettings) -> NDArray[np.int64]:
        """For every output of the file's net the place of its class among the sorted WNIDs."""
        wnids = list(self.store.about["wnids"])
        if self.released.wnids is not None:
            if reading.classes == "devkit":
                raise ValueError("it names its classes itself: leave out classes devkit")
            if sorted(self.released.wnids) != wnids:
                raise ValueError(f"its {len(self.released.wnids)} classes are not those of {self.store.folder}")
            return np.array([wnids.index(name) for name in self.released.wnids])
        if reading.classes == "sorted":
            return np.arange(len(wnids))
        if self.devkit_places is None:
            raise ValueError("classes in the devkit's order need --devkit, its folder or its archive")
        return self.devkit_places

    def sample(self) -> Store:
        """Images of every class, evenly spread over the store."""
        return self.store.part(slice(None, None, max(1, len(self.store) // SAMPLE_SIZE)))

    def wrong(self, reading: ReadingSettings) -> NDArray[np.bool_]:
        """Which of the sample's images are misclassified on a centre crop."""
        as_sorted = reading.model_copy(update={"classes": "sorted"})
        if as_sorted not in self.best_outputs:
            self.best_outputs[as_sorted] = self._compute_best_outputs(as_sorted)
        wrong: NDArray[np.bool_] = self.class_places(reading)[self.best_outputs[as_sorted]] != self.sample().labels
        return wrong

    def _compute_best_outputs(self, reading: ReadingSettings) -> NDArray[np.int64]:
        """[n]: the number, in the file, of the output with the highest posterior for each sample image."""
        weights = self.weights(reading)
        posteriors = compute_posteriors(
            ready_for_inference(weights.net_on(self.device), DEFAULT_SETTINGS),
            self.sample(),
            weights.mean,
            "centre-crop",
            (Q,),
            device=self.device,
            workers=self.workers,
            about=f"{self.run.name}, {reading_text(reading)}",
        )[Q]
        outputs: NDArray[np.int64] = np.argsort(self.class_places(reading))[posteriors.argmax(1)]
        return outputs

    def readings(self, mean: tuple[float, float, float] | None = None) -> list[ReadingSettings]:
        """All readings that can be tried, with this mean."""
        has_orders = self.devkit_places is not None and self.released.wnids is None
        names = [name for name in READING_VALUES if name != "classes" or has_orders]
        usual = reading_of(self.released, ReadingSettings(mean=mean))
        combinations = product(*(READING_VALUES[name] for name in names))
        return [usual.model_copy(update=dict(zip(names, values, strict=True))) for values in combinations]

    def beats_chance(self, reading: ReadingSettings) -> bool:
        """Whether far more images are right than by chance."""
        wrong, chance = self.wrong(reading), 1 / self.store.classes
        return int((~wrong).sum()) > len(wrong) * chance + STANDARD_ERRORS * math.sqrt(len(wrong) * chance)


def best_reading(candidate: ReleasedCandidate, reading: ReadingSettings) -> ReadingSettings:
    """The reading that is far better than all that differ from it in one respect; `reading` itself if it already is.

    Readings are compared in pairs, image by image: the images that another reading corrects, less those that it spoils, must
    exceed three standard errors. Where `reading` is no better than chance, the search starts from the nearest one that is.
    """
    readings = candidate.readings(reading.mean)
    if not candidate.beats_chance(reading):
        nearest_first = sorted(readings, key=lambda other: len(differing_respects(reading, other)))
        reading = next((other for other in nearest_first if candidate.beats_chance(other)), reading)
    while True:
        wrong = candidate.wrong(reading)
        neighbours = [other for other in readings if len(differing_respects(reading, other)) == 1]
        best = min(neighbours, key=lambda other: int(candidate.wrong(other).sum()))
        corrected, spoilt = int((wrong & ~candidate.wrong(best)).sum()), int((candidate.wrong(best) & ~wrong).sum())
        if corrected - spoilt <= STANDARD_ERRORS * math.sqrt(corrected + spoilt):
            return reading
        reading = best


def convert_released(
    run: Run,
    *,
    file: Path,
    model: NetSettings,
    declared: ReadingSettings,
    recipe: Recipe | None = None,
    val_folder: Path,
    devkit_folder: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Write `weights.safetensors` of a run from a released net, and `adopted.json`, which says where it came from.

    Widths are the file's. How the net was trained is known by the file's digest, or by the `recipe` that the user declares.
    Raises ValueError for a net of other layers or classes than the run's, for a recipe that is not that of the digest, and
    where another reading of its numbers makes far fewer errors than the `declared` one, or none makes fewer than chance.
    """
    if run.localises:
        raise ValueError(f"{run.name}: a released net gives class scores, no boxes")
    released, store = read_released_net(file), Store(val_folder)
    digest = file_digest(file)
    entry = released_net(sha1=file_digest(file, "sha1"), sha256=digest)
    trained_by = _trained_by(file, entry.recipe if entry else None, recipe)
    widths = {"width": len(released.layers[0].bias), "fc": len(released.layers[-3].bias)}
    places = devkit.class_indices(devkit.read_wnids(devkit_folder), store.about["wnids"]) if devkit_folder else None
    candidate = ReleasedCandidate(released, run, model.model_copy(update=widths), store, places, device, workers)
    reading = reading_of(released, declared)
    try:
        weights = candidate.weights(reading)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    _check_reading(file, candidate, reading)
    wrong = candidate.wrong(reading)
    save_weights(out / "weights.safetensors", weights.net(), run, weights.mean, list(weights.wnids))
    write_json(
        out / "adopted.json",
        {
            "run": run.name,
            "file": file.name,
            "digest": digest,
            "format": released.format,
            "trained by": trained_by,
            "S": list(entry.S) if entry and entry.S else [],
            "numbers": released.numbers,
            "reading": reading.model_dump() | {"mean": weights.mean} | ({"classes": "wnid"} if released.wnids else {}),
            "checked": {"protocol": "centre-crop", "Q": Q, "images": len(wrong), "top-1 errors": int(wrong.sum())},
            "data": {"val": store.digest, "data set": store.about["data set"]},
            "weights": file_digest(out / "weights.safetensors"),
            "device": device_name(device),
            "made": provenance.provenance_record(),
        },
    )
    write_checksums(out)
    print(
        f"{run.name}: adopted from {file}: {wrong.mean():.1%} of {len(wrong)} images wrong on a centre crop",
        file=sys.stderr,
    )


def _trained_by(file: Path, known: Recipe | None, declared: Recipe | None) -> str:
    """Whose way of training a net had; `others` where that is not known. A ValueError where another one is declared."""
    if known and declared and known != declared:
        raise ValueError(f"{file}: it is a file of {known}, by its digest: expected the recipe {known}, got {declared}")
    return known or declared or "others"


def _check_reading(file: Path, candidate: ReleasedCandidate, reading: ReadingSettings) -> None:
    """A ValueError where another reading is far better, or even the best is no better than chance."""
    best = best_reading(candidate, reading)
    wrong, n = candidate.wrong(reading), len(candidate.sample())
    if not candidate.beats_chance(best):
        tried_orders = candidate.devkit_places is not None or candidate.released.wnids is not None
        raise ValueError(
            f"{file}: {wrong.mean():.1%} of {n} validation images are wrong on a centre crop, as by chance, and so they are "
            "with every other order of channels and classes, range and layout that can be tried: it is no net for these images"
            + ("" if tried_orders else ", or its classes are in the devkit's order: give --devkit to try that")
        )
    if respects := differing_respects(reading, best):
        raise ValueError(
            f"{file}: read with {reading_text(reading)}, {wrong.mean():.1%} of {n} validation images are wrong on a centre "
            f"crop; with {reading_text(best, respects)} it is {candidate.wrong(best).mean():.1%}: declare that reading, if "
            "that is what the file is"
        )
