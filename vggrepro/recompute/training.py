"""The first steps of a training, taken again: images, draws, loss, gradients and the update of SGD, all written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vggrepro.core.files import file_digest
from vggrepro.core.leftovers import visible_files
from vggrepro.core.progress import show_progress
from vggrepro.core.records import TrainingRecord, typed_record
from vggrepro.core.validation import validated
from vggrepro.data.store import Store
from vggrepro.paper.runs import Run
from vggrepro.recompute.draws import EpochDraws, epoch_draws, kept_units, random_weights
from vggrepro.recompute.findings import Finding, skipped
from vggrepro.recompute.first_steps import StepNumbers, compared_steps, differ, tolerances_of
from vggrepro.recompute.images import cut, net_input, rescaled, rescaled_once, rescaled_size, store_digest, stored_image
from vggrepro.recompute.net import Shapes, Sizes, StoredNet, crop_outputs, parameter_shapes, read_net
from vggrepro.settings.models import RunSettings

FROM_A = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
"""PAPER 3.1: A's first four convolutions and its FC layers, by the names that they have in B to E (CHOICE 11)."""
GRADIENTS_AT_A_TIME = 8
"""Of which gradients are added up: net D keeps 0.1 GB for each."""

STEPS_IN_BF16 = 2
"""After these, what rounding did to one step has moved the next ones apart: differences grow threefold a step."""
PERTURBATIONS, NOISE = 10, 5e-7
"""How many times steps that differ are taken again from weights that are off by so much: a few times what rounding does."""
CLEARLY = 100
"""A first step that is off by so many tolerances is another step: nobody needs to know what rounding does to it."""


@dataclass(frozen=True)
class GlobalBatch:
    """A global batch."""

    images: Tensor
    """[B, 3, crop, crop]: the mean subtracted, the colour shift added."""
    labels: Tensor
    boxes: Tensor | None
    """[B, 4] box vectors, NaN where the target does not count; None for classes."""

    def part(self, chosen: slice) -> GlobalBatch:
        """Some of its images."""
        boxes = None if self.boxes is None else self.boxes[chosen]
        return GlobalBatch(self.images[chosen], self.labels[chosen], boxes)

    @property
    def counted(self) -> int:
        """Images that count in the loss."""
        return len(self.labels) if self.boxes is None else int((~self.boxes.isnan().any(1)).sum())


@dataclass(frozen=True)
class Replay:
    """What a training is taken up again from."""

    run: Run
    model: Mapping[str, Any]
    train: Mapping[str, Any]
    boxes: Mapping[str, Any] | None
    store: Store
    parent: StoredNet | None

    @property
    def sizes(self) -> Sizes:
        """The net's."""
        return Sizes.of(self.model)

    @property
    def shapes(self) -> Shapes:
        """The shapes of the net's parameters."""
        return parameter_shapes(self.run.net, self.run.outputs(self.store.classes), self.sizes)

    def moves(self, name: str) -> bool:
        """PAPER 4.4, A.1: whether a parameter is trained; in some runs only those of FC layers are."""
        return self.run.layers == "all" or name.startswith("fc")


def recomputed_training(results: Path, name: str, *, steps: int) -> Iterator[Finding]:
    """The findings on the first `steps` steps of the run in `runs/<name>` below a folder of results."""
    about = f"runs/{name}"
    file = results / "runs" / name / "run.json"
    record = typed_record(file, ("run", "settings", "data", "parent"), kind=TrainingRecord)
    validated(RunSettings, record["settings"], f"{file}: settings")
    steps = min(steps, STEPS_IN_BF16) if record["settings"]["train"]["precision"] == "bf16" else steps
    kept = record.get("first_steps", [])[:steps]
    if not kept:
        yield skipped(about, "first steps", "its record keeps none: it was trained by an earlier version")
        return
    replay = _opened(results, record)
    if isinstance(replay, str):
        yield skipped(about, f"steps 1 to {len(kept)}", replay)
        return
    if "BN" in replay.sizes.layers:
        yield skipped(
            about, f"steps 1 to {len(kept)}", "batch normalisation sees whole batches, which are not taken again"
        )
        return
    yield from _compared_with_steps(about, kept, replay)
    yield skipped(about, f"the steps after {len(kept)}", _why_no_more(record, len(kept)))


def _compared_with_steps(about: str, kept: Sequence[StepNumbers], replay: Replay) -> list[Finding]:
    """The findings on steps that were kept.

    Where a unit is so near to 0 that rounding decides whether it fires, its gradient is there or not, and the steps after that
    drift apart: in nets of a few thousand units one training in ten has such a unit. So steps that differ are taken a few
    times more, from weights that are a little off: how far those differ is no fault.
    """
    tolerances, total = tolerances_of(replay.train), len(kept)
    again = list(show_progress(take_steps(replay, total), total=total, about=about, unit="step"))
    findings = list(compared_steps(about, kept, again, tolerances))
    clearly = {name: CLEARLY * tolerance for name, tolerance in tolerances.items()}
    if not differ(findings) or differ(compared_steps(about, kept[:1], again[:1], clearly)):
        return findings
    steps = (take_steps(replay, total, noise=seed) for seed in range(1, PERTURBATIONS + 1))
    what = f"{about}, what rounding does"
    perturbed = [list(one) for one in show_progress(steps, total=PERTURBATIONS, about=what, unit="repetition")]
    return list(compared_steps(about, kept, again, tolerances, perturbed))


def _why_no_more(record: Mapping[str, Any], taken: int) -> str:
    kept, iterations = len(record["first_steps"]), record.get("iterations", 0)
    return (
        f"the record keeps {kept} of {iterations}, and {taken} were taken: in bf16 two can be compared, and the rest would "
        "be a training"
    )


def _opened(results: Path, record: Mapping[str, Any]) -> Replay | str:
    """All that the steps follow from, or what is missing."""
    stores = [file.parent for file in visible_files(results / "data", "train*/store.json")]
    digest = record["data"]["train"]
    store = next((folder for folder in stores if store_digest(folder) == digest), None)
    if store is None:
        return f"no store of training images with the digest {digest[:12]} lies in {results / 'data'}: prepare it again"
    parent = record["parent"]
    file = results / "runs" / parent["run"] / "weights.safetensors" if parent else None
    if file and not file.exists():
        return f"{file}, which it is initialised from, is not there"
    if file and file_digest(file) != parent["weights"]:
        return f"{file} is not the file that it was initialised from: {parent['run']} was trained again since"
    settings = record["settings"]
    return Replay(
        Run.parse(record["run"]), settings["model"], settings["train"], settings.get("boxes"), Store(store),
        read_net(file) if file else None,
    )  # fmt: skip


def take_steps(replay: Replay, steps: int, *, noise: int | None = None) -> Iterator[StepNumbers]:
    """Step after step: the loss before it, and the norms of gradient, value and change of every parameter.

    With `noise`, a seed, the initial weights are off by `NOISE` of their size.
    """
    run, train, sizes = replay.run, replay.train, replay.sizes
    weights = initial_weights(replay)
    if noise is not None:
        drawn = torch.Generator().manual_seed(noise)
        weights = {
            name: weight * (1 + NOISE * torch.randn(weight.shape, generator=drawn)) for name, weight in weights.items()
        }
    velocities = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    low, high = ([sizes.pixels(int(side)) for side in run.S.split("-")] * 2)[:2]
    draws = epoch_draws(run.seed, 1, len(replay.store), (low, high))
    order = draws.order[replay.store.annotated[draws.order]] if run.localises else draws.order
    for step in range(steps):
        batch = training_batch(replay, draws, order[step * train["batch"] : (step + 1) * train["batch"]])
        kept = kept_units(run.seed, step, len(batch.labels), sizes.fc, sizes.dropout) if sizes.dropout else None
        loss, gradients = loss_and_gradients(replay, weights, batch, kept)
        norms = {}
        for name, before in weights.items():
            gradient = gradients.get(name, torch.zeros(()))
            if name in gradients:
                # PAPER 3.1: momentum and weight decay; CHOICE 13: of biases too; CHOICE 18: the rate multiplies the velocity
                velocities[name] = train["momentum"] * velocities[name] + gradient + train["weight_decay"] * before
                weights[name] = before - train["learning_rate"] * velocities[name]
            norms[name] = [_norm(gradient), _norm(weights[name]), _norm(weights[name] - before)]
        yield {"loss": loss, "norms": norms}


def _norm(values: Tensor) -> float:
    return float(values.double().square().sum().sqrt())


def initial_weights(replay: Replay) -> dict[str, Tensor]:
    """PAPER 3.1, A.1: random weights, or those of the run that it begins with, whose last layer predicts no boxes."""
    weights = random_weights(replay.shapes, replay.train["init"], replay.run.seed)
    for name, own in weights.items() if replay.parent else ():
        assert replay.parent is not None
        layer, theirs = name.split(".")[-2], replay.parent.weights.get(name)
        same = (replay.parent.net, replay.parent.sizes.layers) == (replay.run.net, replay.sizes.layers)
        if theirs is None or (replay.run.variant and not _fits(replay, layer)):
            continue
        if (same or layer in FROM_A) and not (replay.run.localises and layer == "fc8"):
            # CHOICE 11: a 3x3 kernel becomes the middle of a 5x5 one
            margin = (own.shape[-1] - theirs.shape[-1]) // 2 if own.ndim == 4 else 0
            weights[name] = F.pad(theirs, [margin] * 4) if margin else theirs.clone()
    return weights


def _fits(replay: Replay, layer: str) -> bool:
    """Whether a layer of the parent has the shape of the variant's own, or a smaller kernel."""
    assert replay.parent is not None
    name = f"{layer}.weight" if layer.startswith("fc") else f"features.{layer}.weight"
    own, theirs = replay.shapes[name], tuple(replay.parent.weights[name].shape)
    return own[:2] == theirs[:2] and all(k >= other for k, other in zip(own[2:], theirs[2:], strict=True))


def training_batch(replay: Replay, draws: EpochDraws, numbers: NDArray[np.int64]) -> GlobalBatch:
    """PAPER 3.1: of each image one random crop, mirrored half of the time, its colours shifted."""
    crop, store = replay.sizes.crop, replay.store
    colours = store.about["colours"]
    shrunk = rescaled_once if replay.train["on_device"] else rescaled
    crops, shifts, boxes = [], [], []
    for i in numbers:
        image = shrunk(stored_image(store, i), int(draws.S[i]))
        places = [side - crop + 1 for side in image.shape[:2]]
        top, left = int(draws.place[i, 0] * places[0]), int(draws.place[i, 1] * places[1])
        mirrored = replay.train["flip"] and bool(draws.mirrored[i])
        view = cut(image, (top, left), crop)
        crops.append(view[:, ::-1] if mirrored else view)
        # Krizhevsky: sum_i p_i (a_i lambda_i), a_i ~ N(0, 0.1^2), of colours from 0 to 1
        along = replay.train["colour_std"] * draws.alpha[i] * np.array(colours["eigenvalues"])
        shifts.append(255 * np.array(colours["eigenvectors"]) @ along - np.array(colours["mean"]))
        if replay.boxes:
            boxes.append(box_target(store, i, draws, (top, left), mirrored, crop, replay.boxes))
    targets = torch.tensor(np.array(boxes), dtype=torch.float32) if boxes else None
    return GlobalBatch(net_input(crops, np.array(shifts)), torch.from_numpy(store.labels[numbers]), targets)


def box_target(
    store: Store, i: int, draws: EpochDraws, corner: tuple[int, int], mirrored: bool, crop: int,
    settings: Mapping[str, Any],
) -> list[float]:  # fmt: skip
    """PAPER A.1, CHOICE 9: centre x and y, width, height of a true box in the crop's frame; NaN where too little is inside."""
    boxes = store.boxes(i).tolist()
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in boxes]
    chosen = int(draws.box[i] * len(boxes)) if settings["target"] == "random" else areas.index(max(areas))
    height, width = store.size(i)
    new_height, new_width = rescaled_size((height, width), int(draws.S[i]))
    x0, y0, x1, y1 = boxes[chosen]
    left, right = (x0 * new_width / width - corner[1], (x1 + 1) * new_width / width - corner[1])
    top, bottom = (y0 * new_height / height - corner[0], (y1 + 1) * new_height / height - corner[0])
    inside = max(0.0, min(right, crop) - max(left, 0)) * max(0.0, min(bottom, crop) - max(top, 0))
    if inside / ((right - left) * (bottom - top)) < settings["min_inside"]:
        return [float("nan")] * 4
    x, y = (left + right) / (2 * crop) - 0.5, (top + bottom) / (2 * crop) - 0.5
    return [-x if mirrored else x, y, (right - left) / crop, (bottom - top) / crop]


def loss_and_gradients(
    replay: Replay, weights: Mapping[str, Tensor], batch: GlobalBatch, kept: Tensor | None
) -> tuple[float, dict[str, Tensor]]:
    """The mean loss of a global batch, and its gradient by every parameter that moves."""
    leaves = {name: weight.detach().requires_grad_(replay.moves(name)) for name, weight in weights.items()}
    total = 0.0
    for first in range(0, len(batch.labels), GRADIENTS_AT_A_TIME):
        chosen = slice(first, first + GRADIENTS_AT_A_TIME)
        part, dropped = batch.part(chosen), None if kept is None else kept[chosen]
        # where the training rounded to bf16, so does this: weights, sums of a layer, and what goes on to the next
        with torch.autocast("cpu", torch.bfloat16, enabled=replay.train["precision"] == "bf16"):
            outputs = crop_outputs(replay.run.net, leaves, part.images, replay.sizes, dropped).float()
        loss = summed_loss(outputs, part) / max(batch.counted, 1)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total, {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def summed_loss(outputs: Tensor, batch: GlobalBatch) -> Tensor:
    """PAPER 3.1: minus the log-posterior of the true class. PAPER A.1: half the squared distance of its box."""
    if batch.boxes is None:
        return -F.log_softmax(outputs, 1)[torch.arange(len(outputs)), batch.labels].sum()
    losses = [
        ((row.reshape(-1, 4)[0 if len(row) == 4 else int(label)] - box) ** 2).sum() / 2
        for row, label, box in zip(outputs, batch.labels, batch.boxes, strict=True)
        if not box.isnan().any()
    ]
    return torch.stack(losses).sum() if losses else outputs.sum() * 0
