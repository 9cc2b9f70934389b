"""The work of every rule's job: operations, bytes, images to decode, memory, disk. Rules that compute little have seconds.

A step of a rule that is not here is planned with seconds of its own and marked as not modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vggrepro.paper.ilsvrc import ILSVRC_VALIDATION_IMAGES
from vggrepro.paper.runs import Run
from vggrepro.paper.tasks import TASKS
from vggrepro.planning.arithmetic import forward_work, kept_activations, parameters, training_work
from vggrepro.planning.data_sizes import TRANSFER_ASPECT, DataSetSize, data_set, images_of
from vggrepro.settings.blocks import NetSettings
from vggrepro.settings.downloads import downloads
from vggrepro.workflow.evaluate import evaluate_job
from vggrepro.workflow.plan import Plan
from vggrepro.workflow.transfer import features_job

BYTES_PER_NUMBER = {"fp32": 4, "tf32": 4, "bf16": 2}
"""Of an activation."""
CROPS = 25
"""PAPER 3.2: a 5x5 grid of crops at a scale; their mirror images double it."""
CHECKPOINTS = 3
"""Checkpoints that lie on disk at a time: two are kept while a third is written."""
START = 3.0
"""Seconds until a job of ours computes: Python, torch, reading weights."""
BYTES_PER_SECOND = 20e6
"""Of a download."""
BUFFERS = 3
"""Maps of features that an evaluation holds at a time: the one that is read, the one that is written, and work space."""


@dataclass(frozen=True)
class StepWork:
    """What a job does."""

    size: str
    """What jobs of a rule have in common that take the same share of the hardware."""
    operations: float = 0.0
    moved: float = 0.0
    """Bytes that move within the device's memory, with pointwise work fused."""
    decoded: float = 0.0
    """Megapixels that CPU threads read, decode and rescale."""
    images: float = 0.0
    """That go through the net; each costs something beside its arithmetic."""
    seconds: float = 0.0
    """Of a CPU, whatever the device."""
    memory: float = 0.0
    """Bytes of the device, at most."""
    least_memory: float = 0.0
    """The same where a batch is computed in pieces of one image."""
    disk: float = 0.0
    """Bytes that stay."""
    for_a_while: float = 0.0
    """Bytes on disk until the job has ended."""
    precision: str = "fp32"
    on_device: bool = False
    """Whether the device computes it; else the CPU."""
    gradients: float = 0.0
    """Bytes that several GPUs exchange over all steps."""
    modelled: bool = True
    width: int = 64
    """Channels of the net's first layer."""


def size_of(model: NetSettings, precision: str, layout: str) -> str:
    """What steps have in common that take the same share of the hardware."""
    return f"{layout}, width {model.width}, crop {model.crop}, fc {model.fc}, {precision}"


def _images(plan: Plan) -> DataSetSize:
    return data_set(plan.settings, Path(plan.root))


def _train(plan: Plan, run: str) -> StepWork:
    trained, data = Run.parse(run), _images(plan)
    settings = plan.settings.for_run(trained)
    model, train = settings.model, settings.train
    outputs, each = trained.outputs(data.classes), BYTES_PER_NUMBER[train.precision]
    operations, moved = training_work(
        trained.net, model, outputs, batch=train.batch, bytes_each=each, fc_alone=trained.layers == "fc"
    )
    shown, bytes_shown = forward_work(trained.net, model, model.crop, model.crop, outputs, each)
    seen, validated = data.train * train.epochs, data.val * train.epochs
    weights = parameters(trained.net, model, outputs)
    rescaled = plan.settings.data.rescaled != "no" and not trained.jitters
    # images at one S may lie on disk as they are needed; images on the device are decoded once
    pixels = (0 if train.on_device else seen * data.pixels * (0.15 if rescaled else 1)) + validated * data.pixels
    image = each * kept_activations(trained.net, model, outputs) + 16 * model.crop**2
    steps = train.epochs * -(-data.train // train.batch)
    # weights, gradients, momentum, and a gradient that is being computed
    held = 4 * 4 * weights + (3 * data.train * data.pixels if train.on_device else 0)
    return StepWork(
        size_of(model, train.precision, plan.settings.data.layout),
        operations=seen * operations + validated * shown,
        moved=seen * moved + validated * bytes_shown,
        decoded=pixels / 1e6,
        images=seen + validated,
        seconds=START,
        memory=held + 1.3 * image * train.batch,
        least_memory=held + 1.3 * image,
        disk=4 * weights,
        for_a_while=CHECKPOINTS * 2 * 4 * weights,
        precision=train.precision,
        on_device=True,
        gradients=4.0 * weights * steps,
        width=model.width,
    )


def _forward(plan: Plan, run: Run, *, scales: tuple[int, ...], protocol: str, images: int, aspect: float) -> StepWork:
    """Showing images to a net under a protocol at several scales, each decoded once."""
    settings, data = plan.settings, _images(plan)
    model, how = settings.for_run(run).model, settings.of(run).evaluate
    outputs, each = run.outputs(data.classes), BYTES_PER_NUMBER[how.precision]
    views = {"dense": 2, "multi-crop": 2 * CROPS, "centre-crop": 1}[protocol]
    operations = moved = pixels = 0.0
    for Q in scales:
        side = model.pixels(Q)
        height, width = (side, round(side * aspect)) if protocol == "dense" else (model.crop, model.crop)
        one = forward_work(run.net, model, height, width, outputs, each)
        operations, moved = operations + views * one[0], moved + views * one[1]
        pixels = max(pixels, height * width)
    weights = 4 * parameters(run.net, model, outputs)
    largest = each * model.width * BUFFERS
    return StepWork(
        size_of(model, how.precision, settings.data.layout),
        operations=images * operations,
        moved=images * moved,
        decoded=images * (data.pixels + sum(model.pixels(Q) ** 2 * aspect for Q in scales)) / 1e6,
        images=images * views * len(scales),
        seconds=START,
        memory=weights + largest * max(how.batch_pixels, pixels),
        least_memory=weights + largest * 2 * pixels,
        precision=how.precision,
        on_device=True,
        width=model.width,
    )


def _evaluate(plan: Plan, run: str, protocol: str) -> StepWork:
    data, scales = _images(plan), _scales(evaluate_job(plan, run, protocol)["scales"])
    work = _forward(plan, Run.parse(run), scales=scales, protocol=protocol, images=data.val, aspect=data.aspect)
    return _changed(work, disk=4.0 * data.val * data.classes * len(scales))


OF_IMAGES = ("operations", "moved", "decoded", "images", "disk")
"""What grows with the number of images."""


def _fewer(work: StepWork) -> StepWork:
    """The same of a fifth of the images: ImageNetV2 has 10,000. How many others have is not looked at."""
    return _changed(work, **{name: getattr(work, name) / 5 for name in OF_IMAGES})


def _evaluate_elsewhere(plan: Plan, run: str, reference: str, protocol: str) -> StepWork:
    return _fewer(_evaluate(plan, run, protocol))


def _prepare_elsewhere(plan: Plan, reference: str) -> StepWork:
    return _fewer(_prepare(plan, "val"))


def _boxes(plan: Plan, run: str, protocol: str) -> StepWork:
    """A localiser and, for dense boxes, the net that scores them; 5 labels of 4 numbers and a score at every place."""
    data, scales, localiser = _images(plan), _scales(evaluate_job(plan, run, protocol)["scales"]), Run.parse(run)
    how = {"scales": scales, "protocol": protocol, "images": data.val, "aspect": data.aspect}
    work = _forward(plan, localiser, **how)  # type: ignore[arg-type]
    parent = localiser.varied.parent()
    places = len(scales)
    if protocol == "dense" and parent:
        scored = _forward(plan, parent, **how)  # type: ignore[arg-type]
        work = _changed(work, operations=work.operations + scored.operations, moved=work.moved + scored.moved)
        places = _places(plan.settings.model, scales, data.aspect)
    return _changed(work, disk=data.val * places * 2.0 * 5 * (4 * 4 + 4))


def _features(plan: Plan, run: str, collection: str) -> StepWork:
    scales, images = _scales(features_job(plan, run, collection)["scales"]), images_of(collection, plan.settings)
    work = _forward(plan, Run.parse(run), scales=scales, protocol="dense", images=images, aspect=TRANSFER_ASPECT)
    return _changed(work, disk=4.0 * images * plan.settings.model.fc * len(scales))


def _why(plan: Plan, run: str) -> StepWork:
    """Nine ways to show the net an image at one scale, two of them dense."""
    data = _images(plan)
    how = {"scales": (256,), "images": data.val, "aspect": data.aspect}
    crops = _forward(plan, Run.parse(run), protocol="centre-crop", **how)  # type: ignore[arg-type]
    dense = _forward(plan, Run.parse(run), protocol="dense", **how)  # type: ignore[arg-type]
    return _changed(
        dense,
        operations=dense.operations + 7 * crops.operations,
        moved=dense.moved + 7 * crops.moved,
        images=dense.images + 7 * crops.images,
    )


def _prepare(plan: Plan, split: str) -> StepWork:
    data = _images(plan)
    images = data.train if split == "train" else data.val
    stored = images * data.file_bytes
    return StepWork(plan.settings.data.layout, decoded=images * data.pixels / 1e6, seconds=1.0, disk=stored)


def _rescale(plan: Plan, S: str) -> StepWork:
    data, side = _images(plan), plan.settings.model.pixels(int(S))
    pixels = side**2 * data.aspect
    of_pixel = 3 if plan.settings.data.rescaled == "pixels" else 0.5
    return StepWork(
        plan.settings.data.layout,
        decoded=data.train * (data.pixels + pixels) / 1e6,
        disk=data.train * pixels * of_pixel,
    )


def _merging(plan: Plan) -> StepWork:
    """The study merges some 15 times. Merging all labels of an image at 102 places takes a core a hundredth of a second."""
    data, model = _images(plan), plan.settings.model
    share = _places(model, (256, 352, 384), data.aspect) / 102
    return StepWork("boxes", seconds=2 + 15 * data.val / 96 * share**3)


def _places(model: NetSettings, scales: tuple[int, ...], aspect: float) -> int:
    """Windows of the net's input in an image, at all scales."""
    sides = [model.pixels(Q) for Q in scales]
    unit = model.scale_unit
    return sum(max(1, side // unit - 6) * max(1, round(side * aspect) // unit - 6) for side in sides)


def _classify(plan: Plan, task: str, members: str) -> StepWork:
    """SVMs: by the numbers in the descriptors, and by class. VOC-2007 of two nets takes a core 117 s."""
    problem, transfer = TASKS[task], plan.settings.transfer
    images = sum(images_of(collection, plan.settings) for collection in problem.collections)
    nets = members.count("+") + 1
    numbers = images * nets * plan.settings.model.fc * (len(problem.scales) if problem.combine == "stack" else 1)
    splits = transfer.splits if problem.data.startswith("caltech") else 1
    share = numbers / (9_963 * 8_192) * problem.classes / 20 * len(transfer.C) / 5
    return StepWork("svms", seconds=1.5 + 115 * share * splits, disk=8.0 * images * problem.classes * splits)


def _table(plan: Plan, table: str) -> StepWork:
    number = plan.tables[table]
    kind = plan.settings.table(number).kind.name
    at_full_size = {"scores": 4.0, "boxes": 300.0, "svms": 2.0}.get(kind, 0.0)
    seconds = {"layers": 3.5, "parameters": 3.5}.get(kind, 1.0)
    return StepWork(kind, seconds=seconds + at_full_size * _images(plan).val / ILSVRC_VALIDATION_IMAGES)


def _fetch(plan: Plan, download: str) -> StepWork:
    size = downloads()[download].bytes or 0
    return StepWork("download", seconds=2 + size / BYTES_PER_SECOND, disk=size)


def _some(seconds: float, at_full_size: float = 0.0) -> Callable[..., StepWork]:
    """A job of a few seconds, and more of them for ILSVRC's 50,000 images."""

    def work(plan: Plan, **wildcards: str) -> StepWork:
        return StepWork("files", seconds=seconds + at_full_size * _images(plan).val / ILSVRC_VALIDATION_IMAGES)

    return work


def _changed(work: StepWork, **values: float) -> StepWork:
    return StepWork(**{**vars(work), **values})


def _scales(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


WORK: Mapping[str, Callable[..., StepWork]] = {
    "prepare": _prepare,
    "rescale": _rescale,
    "train": _train,
    "evaluate": _evaluate,
    "evaluate_elsewhere": _evaluate_elsewhere,
    "prepare_elsewhere": _prepare_elsewhere,
    "boxes": _boxes,
    "features": _features,
    "why": _why,
    "merging": _merging,
    "classify": _classify,
    "table": _table,
    "fetch": _fetch,
    # measured at full size (bench/tables.py), or by a smoke run
    "draw": _some(1.0),
    "splits": _some(1.0),
    "answers": _some(0.5, 3.0),
    "adopt": _some(20.0),
    "import_scores": _some(1.0, 5.0),
    "import_elsewhere": _some(1.0, 1.0),
    "claims": _some(1.5),
    "flips": _some(0.7, 3.0),
    "labels": _some(1.0, 5.0),
    "evidence": _some(3.0, 60.0),
    "whatif": _some(1.0, 9.0),
    "report": _some(6.0),
    "bundle": _some(3.0, 30.0),
    "manifest": _some(5.0, 600.0),
}
"""By rule: of the plan and the job's wildcards by name."""

UNKNOWN = StepWork("unknown", seconds=10.0, modelled=False)
"""Of a rule that is not modelled."""


def work_of(plan: Plan, rule: str, wildcards: Mapping[str, str]) -> StepWork:
    """The work of a job."""
    work = WORK.get(rule)
    return work(plan, **wildcards) if work else UNKNOWN
