"""A released net takes the place of a training: its numbers are brought into our layout, and checked by what they make of
images. Other readings of the same numbers that make far fewer errors are told, and nothing is written.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vggrepro.core import provenance
from vggrepro.core.devices import device_name
from vggrepro.core.files import file_digest, write_json
from vggrepro.data import devkit
from vggrepro.data.store import Store
from vggrepro.evaluation.evaluate import DEFAULT_SETTINGS, compute_posteriors
from vggrepro.external.formats import Array, ReleasedLayer, ReleasedNet, read_released_net
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings, ReadingSettings

CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Mean RGB of the authors' released nets."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's nets are given is (RGB in [0, 1] - MEAN) / STD."""

DEFAULTS: dict[str, dict[str, str]] = {
    "Caffe": {"channels": "bgr", "input": "caffe"},
    "MatConvNet": {"channels": "rgb", "input": "caffe"},
    "torchvision": {"channels": "rgb", "input": "torchvision"},
}
"""What is peculiar to a format."""
READINGS = {
    "channels": ("rgb", "bgr"),
    "input": ("caffe", "torchvision"),
    "classes": ("sorted", "devkit"),
    "full": ("chw", "hwc"),
    "kernels": ("hw", "wh"),
}
"""What may be meant by the numbers of a net."""

LOOKED_AT = 400
"""Images that readings are compared on."""
STANDARD_ERRORS = 3.0
"""By so many another reading has to be better to be believed."""
Q = 256
NO_DEVKIT = ", or its classes are in the devkit's order: give --devkit to try that"


def reading_of(released: ReleasedNet, said: ReadingSettings) -> ReadingSettings:
    """What the user said, and for the rest what is usual in the file's format."""
    usual = {"classes": "sorted", "full": "chw", "kernels": "hw"} | DEFAULTS[released.format]
    given = {name: value for name, value in said.model_dump().items() if value is not None}
    return ReadingSettings(**usual | given)


def tensors_in_our_layout(released: ReleasedNet, reading: ReadingSettings, net: VGG) -> dict[str, torch.Tensor]:
    """The weights of our net: input RGB of 0-255 less the mean, features flattened channel by channel. See `mean_of`.

    Raises ValueError for a layer of another shape than the net's.
    """
    found: dict[str, torch.Tensor] = {}
    names = [name.removesuffix(".weight") for name, p in net.named_parameters() if p.ndim > 1]
    if len(names) != len(released.layers):
        raise ValueError(
            f"it has {len(released.layers)} layers with weights, {net.net} has {len(names)}: it is no {net.net}"
        )
    for name, layer in zip(names, released.layers, strict=True):
        weight = _in_our_layout(name, layer, reading)
        expected = tuple(net.get_parameter(f"{name}.weight").shape)
        if weight.shape != expected:
            raise ValueError(
                f"its {layer.name} has weights {list(layer.weight.shape)}, {name} of {net.net} {list(expected)}"
            )
        for kind, value in (("weight", weight), ("bias", layer.bias)):
            found[f"{name}.{kind}"] = torch.from_numpy(np.array(value, np.float32, order="C"))
    return found


def _in_our_layout(name: str, layer: ReleasedLayer, reading: ReadingSettings) -> Array:
    weight = layer.weight
    if name == "fc6":
        side = 7
        weight = weight.reshape(len(weight), -1)
        if reading.full == "hwc":
            weight = weight.reshape(len(weight), side, side, -1).transpose(0, 3, 1, 2)
        weight = weight.reshape(len(weight), -1, side, side)
    if reading.kernels == "wh" and weight.ndim == 4:
        weight = weight.transpose(0, 1, 3, 2)
    if name.endswith("conv1_1"):
        weight = weight[:, ::-1] if reading.channels == "bgr" else weight
        if reading.input == "torchvision":
            # W (x / 255 - m) / s = W / (255 s) (x - 255 m): nothing is lost, not even at the padded edge, which is 0 in both
            weight = (weight / (255 * np.array(STD)[:, None, None])).astype(np.float32)
    return weight.reshape(len(weight), -1) if name.startswith("fc") else weight


def mean_of(released: ReleasedNet, reading: ReadingSettings) -> tuple[float, float, float]:
    """The mean RGB, 0-255, that images are reduced by: as said, as the file has it, or as is usual with such an input."""
    if reading.mean is not None:
        return reading.mean
    if reading.input == "torchvision":
        return (255 * MEAN[0], 255 * MEAN[1], 255 * MEAN[2])
    return released.mean or CAFFE_MEAN


@dataclass
class ReleasedCandidate:
    """A released net as a run of ours, under any reading."""

    released: ReleasedNet
    run: Run
    model: NetSettings
    store: Store
    numbered: NDArray[np.int64] | None
    """Place among the sorted WNIDs of every class in the devkit's order, where the devkit is at hand."""
    device: torch.device
    workers: int
    seen: dict[ReadingSettings, NDArray[np.int64]] = field(default_factory=dict)
    """The best outputs of some images under readings that were tried; classes are another matter."""

    def weights(self, reading: ReadingSettings) -> Weights:
        """The run's weights, outputs in the order of the sorted WNIDs."""
        wnids = tuple(self.store.about["wnids"])
        with torch.device("meta"):
            net = VGG(self.run.net, len(wnids), self.model)
        found = tensors_in_our_layout(self.released, reading, net)
        order = torch.from_numpy(np.argsort(self.places(reading)))
        for kind in ("weight", "bias"):
            found[f"fc8.{kind}"] = found[f"fc8.{kind}"][order].contiguous()
        return Weights(self.run, self.model, wnids, mean_of(self.released, reading), found)

    def places(self, reading: ReadingSettings) -> NDArray[np.int64]:
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
        if self.numbered is None:
            raise ValueError("classes in the devkit's order need --devkit, the folder with meta_clsloc.mat")
        return self.numbered

    def sample(self) -> Store:
        """Some images of every class, as far as they go."""
        return self.store.part(slice(None, None, max(1, len(self.store) // LOOKED_AT)))

    def wrong(self, reading: ReadingSettings) -> NDArray[np.bool_]:
        """Which of some validation images are misclassified on a centre crop."""
        as_sorted = reading.model_copy(update={"classes": "sorted"})
        sample = self.sample()
        if as_sorted not in self.seen:
            weights = self.weights(as_sorted)
            found = compute_posteriors(
                ready_for_inference(weights.net_on(self.device), DEFAULT_SETTINGS),
                sample,
                weights.mean,
                "centre-crop",
                (Q,),
                device=self.device,
                workers=self.workers,
                about=f"{self.run.name}, {said_of(reading)}",
            )
            # back to the file's own outputs
            self.seen[as_sorted] = np.argsort(self.places(as_sorted))[found[Q].argmax(1)]
        wrong: NDArray[np.bool_] = self.places(reading)[self.seen[as_sorted]] != sample.labels
        return wrong

    def readings(self) -> list[ReadingSettings]:
        """All that can be tried."""
        names = [n for n in READINGS if n != "classes" or (self.numbered is not None and self.released.wnids is None)]
        usual = reading_of(self.released, ReadingSettings())
        values = product(*(READINGS[name] for name in names))
        return [usual.model_copy(update=dict(zip(names, found, strict=True))) for found in values]

    def knows(self, reading: ReadingSettings) -> bool:
        """Whether far more images are right than by chance."""
        wrong, chance = self.wrong(reading), 1 / self.store.classes
        return int((~wrong).sum()) > len(wrong) * chance + STANDARD_ERRORS * math.sqrt(len(wrong) * chance)


def best_reading(candidate: ReleasedCandidate, reading: ReadingSettings) -> ReadingSettings:
    """The reading that is far better than all that differ from it in one respect; the one given, if that is so already.

    Compared in pairs, image by image: what another reading corrects, less what it spoils, has to exceed three standard errors.
    Where the one given knows nothing, the nearest one that knows something is gone on from.
    """

    def apart(other: ReadingSettings) -> int:
        return sum(getattr(other, name) != getattr(reading, name) for name in READINGS)

    mine = [other.model_copy(update={"mean": reading.mean}) for other in candidate.readings()]
    if not candidate.knows(reading):
        reading = next((other for other in sorted(mine, key=apart) if candidate.knows(other)), reading)
    while True:
        wrong = candidate.wrong(reading)
        tried = {other: candidate.wrong(other) for other in mine if apart(other) == 1}
        best = min(tried, key=lambda other: int(tried[other].sum()))
        mended, spoilt = int((wrong & ~tried[best]).sum()), int((tried[best] & ~wrong).sum())
        if mended - spoilt <= STANDARD_ERRORS * math.sqrt(mended + spoilt):
            return reading
        reading = best


def said_of(reading: ReadingSettings) -> str:
    """A reading in words: `channels bgr, input caffe, ...`."""
    return ", ".join(f"{name} {getattr(reading, name)}" for name in READINGS)


def _changes(reading: ReadingSettings, best: ReadingSettings) -> str:
    return ", ".join(
        f"{name} {getattr(best, name)}" for name in READINGS if getattr(best, name) != getattr(reading, name)
    )


def convert_released(
    run: Run,
    file: Path,
    model: NetSettings,
    said: ReadingSettings,
    *,
    val_folder: Path,
    devkit_folder: Path | None,
    out: Path,
    device: torch.device,
    workers: int,
) -> None:
    """Write `weights.safetensors` of a run from a released net, and `adopted.json`, which says where it came from.

    Widths are the file's. Raises ValueError for a net of other layers or classes than the run's, and where another reading of
    its numbers makes far fewer errors, or none makes fewer than chance.
    """
    if run.localises:
        raise ValueError(f"{run.name}: a released net gives class scores, no boxes")
    released, store = read_released_net(file), Store(val_folder)
    sized = model.model_copy(update={"width": len(released.layers[0].bias), "fc": len(released.layers[-3].bias)})
    known = devkit.read_wnids(devkit_folder) if devkit_folder else None
    numbered = devkit.class_indices(known, store.about["wnids"]) if known else None
    candidate = ReleasedCandidate(released, run, sized, store, numbered, device, workers)
    reading = reading_of(released, said)
    try:
        weights = candidate.weights(reading)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    wrong, best = candidate.wrong(reading), best_reading(candidate, reading)
    _check(file, candidate, reading, best)
    save_weights(out / "weights.safetensors", weights.net(), run, weights.mean, list(weights.wnids))
    about: dict[str, Any] = {
        "run": run.name,
        "file": file.name,
        "digest": file_digest(file),
        "format": released.format,
        "reading": reading.model_dump() | {"mean": weights.mean} | ({"classes": "wnid"} if released.wnids else {}),
        "checked": {"protocol": "centre-crop", "Q": Q, "images": len(wrong), "top-1 errors": int(wrong.sum())},
        "data": {"val": store.digest, "data set": store.about["data set"]},
        "weights": file_digest(out / "weights.safetensors"),
        "device": device_name(device),
        "made": provenance.provenance_record(),
    }
    write_json(out / "adopted.json", about)
    print(
        f"{run.name}: adopted from {file}: {wrong.mean():.1%} of {len(wrong)} images wrong on a centre crop",
        file=sys.stderr,
    )


def _check(file: Path, candidate: ReleasedCandidate, reading: ReadingSettings, best: ReadingSettings) -> None:
    """A ValueError where another reading is far better, or even the best knows nothing."""
    wrong, least, n = candidate.wrong(reading), candidate.wrong(best), len(candidate.sample())
    if not candidate.knows(best):
        known = candidate.numbered is not None or candidate.released.wnids
        raise ValueError(
            f"{file}: {wrong.mean():.1%} of {n} validation images are wrong on a centre crop, as by chance, and with every "
            "other order of channels and classes, range and layout that can be tried: it is no net for these images"
            + ("" if known else NO_DEVKIT)
        )
    if best != reading:
        raise ValueError(
            f"{file}: read with {said_of(reading)}, {wrong.mean():.1%} of {n} validation images are wrong on a centre crop; "
            f"with {_changes(reading, best)} it is {least.mean():.1%}: say so, if that is what the file is"
        )
