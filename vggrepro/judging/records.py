"""What trainings and evaluations measured of themselves, read back and checked, as fields that rules are about. No torch.

`witness` writes these records; `audit` holds them against settings and paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vggrepro.paper.protocol import Ends, SampleSpread
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings

Precision = Literal["fp32", "tf32", "bf16"]


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class NetRecord(_Recorded):
    """What a net is made of, read off its layers."""

    layers: tuple[str, ...]
    """Kinds of its layers."""
    width: int
    """Channels of the first convolution."""
    fc: int
    """Units of the first FC layer."""
    poolings: int
    pooling: Literal["floor", "ceil"]
    lrn: tuple[tuple[float, ...], ...]
    """k, n, alpha and beta of every normalisation."""


class TrainingRecord(_Recorded):
    """What a training measured of itself (`run.json`, `record`). Lists hold the different values that occurred."""

    optimiser: str
    batch: int
    """The most images of a step."""
    images: int
    """That went through the net, over all epochs."""
    in_epoch: tuple[int, ...]
    """Images of an epoch."""
    iterations: int
    rates: tuple[tuple[int, float], ...]
    """From which epoch on, which learning rate the optimiser had."""
    momentum: tuple[float, ...]
    weight_decay: tuple[float, ...]
    precision: tuple[Precision, ...]
    """Of the arithmetic, by the type of the net's outputs."""
    processes: tuple[int, ...]
    pieces: tuple[int, ...]
    """In how many parts a process computed its part of a batch."""
    crop: tuple[int, ...]
    """Side in pixels of what the net was shown."""
    pixels: tuple[float, float]
    """Lowest and highest value that it was shown."""
    cut_on: tuple[Literal["CPU", "device"], ...]
    mean: tuple[tuple[float, float, float], ...]
    """R, G, B that were subtracted."""
    mean_of_data: tuple[float, float, float]
    """Of the training set."""
    drawn: int
    """Images whose S, mirroring and colour were drawn, over all epochs."""
    S: tuple[int, int]
    """Smallest and largest in pixels."""
    flipped: float
    """Share of the drawn images."""
    colour_std: float
    """Along the first principal component."""
    units: int
    """Looked at, to count what dropout left out."""
    dropout: float
    """Share of them."""
    lent_by: str | None
    lent: tuple[str, ...]
    """Layers that the parent lent."""
    random: dict[str, float]
    """Standard deviation of the weights of every other layer, as they began."""
    init: Literal["normal-0.01", "normal-0.1", "glorot", "he", "none"]
    """The initialisation that these tell of."""
    biases: float
    """The largest of those layers."""
    still: tuple[str, ...]
    """Layers that ended as they began."""
    net: NetRecord
    data_set: str
    classes: int
    train_images: int
    val_images: int


class EvaluationRecord(_Recorded):
    """What an evaluation measured of itself (`made.json`, `record`)."""

    views: dict[str, int]
    """By smallest side in pixels: how many views of it the net was shown."""
    mirrored: bool
    """Whether with every view of the first batch came its mirror image."""
    pixels: tuple[float, float]
    precision: tuple[Precision, ...]
    scales: tuple[int, ...]
    """Q that were tested together."""


def stage_of(run: Run) -> str:
    """Which rules of training a run is held against."""
    return "localisation" if run.localises else {"256": "scratch", "384": "384"}.get(run.S, "jitter")


def evidence_of_training(about: Mapping[str, Any], record: TrainingRecord) -> dict[str, Any]:
    """The fields that rules of training are about, from `run.json`. S is in the paper's scale, whatever the crop."""
    scale = 224 / record.crop[0]
    low, high = (scale * side for side in record.S)
    rates = record.rates
    falls = [(epoch - 1, before / after) for (_, before), (epoch, after) in pairwise(rates)]
    fc = {"fc6", "fc7", "fc8"}
    layers = {*record.lent, *record.random}
    moved = (
        "all" if not record.still else "fc" if layers - set(record.still) == fc else sorted(layers - set(record.still))
    )
    return {
        **record.model_dump(exclude={"net"}),
        **record.net.model_dump(),
        **flattened_settings(about["settings"]),
        "epochs": about["epochs"],
        "rate": rates[0][1],
        "drops": [epoch for epoch, _ in falls],
        "drop_count": len(falls),
        "drop_factor": [factor for _, factor in falls],
        "steered_by": "validation accuracy" if about["settings"]["train"]["drop_epochs"] is None else "fixed epochs",
        "every_image_once": [record.images] == [n * about["epochs"] for n in record.in_epoch],
        # so many draws of so many values miss both ends by more than this once in a million
        "S": Ends(low, high, 14 * (high - low + scale) / max(record.drawn, 1)),
        "flipped": SampleSpread(record.flipped, 0.5 / sqrt(max(record.drawn, 1))),
        "colour_std": SampleSpread(record.colour_std, record.colour_std / sqrt(2 * max(record.drawn, 1))),
        "dropout": SampleSpread(record.dropout, 0.5 / sqrt(record.units) if record.units else 0.0),
        "mean_error": max(abs(a - b) for mean in record.mean for a, b in zip(mean, record.mean_of_data, strict=True)),
        "pixel_span": record.pixels[1] - record.pixels[0],
        "init": [] if record.init == "none" else [record.init],
        "parent": record.lent_by,
        "lent": record.lent,
        "random_layers": sorted(record.random),
        "moved": moved,
    }


def evidence_of_test(
    made: Mapping[str, Any], shown: EvaluationRecord, images: int, model: NetSettings, scales: tuple[int, ...]
) -> dict[str, Any]:
    """The fields that rules of evaluation are about, of some of the Q that were tested together, from `made.json`."""
    if made.get("protocol") in ("multi-crop", "centre-crop"):
        # crops of all Q have one size
        views = [shown.views.get(str(model.crop), 0) / max(images * len(shown.scales), 1)]
    else:
        views = [shown.views.get(str(model.pixels(Q)), 0) / max(images, 1) for Q in scales]
    return {
        **flattened_settings(made["settings"]),
        "data_set": made.get("data set"),
        "images": images,
        "views": views,
        "mirrored": shown.mirrored,
        "pixel_span": shown.pixels[1] - shown.pixels[0],
        "precision": shown.precision,
    }


def evidence_of_svms(made: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that rules of transfer are about, from the `made.json` of a task's SVMs."""
    return {
        **flattened_settings(made["settings"]),
        "C_from": made["C from"],
        "measure": made["measure"],
        "classes": len(made["classes"]),
        "splits": len(made["C"]),
        "trained_on": made["trained on"],
    }


def flattened_settings(settings: Mapping[str, Any], before: str = "settings") -> dict[str, Any]:
    """Nested settings as `settings.train.batch` and the like."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flattened_settings(value, f"{before}.{key}") if isinstance(value, dict) else {f"{before}.{key}": value}
    return found
