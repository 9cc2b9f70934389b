"""Records as faithful trainings and evaluations leave them, written from settings alone: for tables of made-up scores."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

from vggrepro.judging.values import PLAIN_TYPES
from vggrepro.paper.nets import LAYERS, TRANSFERRED, Conv
from vggrepro.paper.protocol import protocol_rules
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import Evaluation, evaluations_of
from vggrepro.paper.tables import best_classification
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.blocks import TrainSettings
from vggrepro.settings.models import Settings

IMAGES = {"ilsvrc": (1_281_167, 50_000, 1000), "tiny-imagenet": (100_000, 10_000, 200), "stand-in": (2_000, 400, 10)}
NAMES = {"ilsvrc": "ILSVRC-2012", "tiny-imagenet": "Tiny ImageNet", "stand-in": "stand-in (drawn by the program)"}


def images_of(settings: Settings) -> tuple[int, int, int]:
    """Training images, validation images and classes."""
    data, (images, val, classes) = settings.data, IMAGES[settings.data.layout]
    parts = [
        min(all_of_them, (asked or all_of_them) * (data.classes or classes))
        for all_of_them, asked in ((images, data.train_per_class), (val, data.val_per_class))
    ]
    return parts[0], parts[1], data.classes or classes


def weights_of(run: Run) -> str:
    """What stands for the digest of a run's weights."""
    return f"weights of {run.name}"


def layers_of(net: str) -> list[str]:
    """conv1_1 to fc8."""
    names, block, place = [], 1, 0
    for layer in LAYERS[net]:
        if layer == "M":
            block, place = block + 1, 0
        elif isinstance(layer, int | Conv):
            place += 1
            names.append(f"conv{block}_{place}")
    return [*names, "fc6", "fc7", "fc8"]


def run_json(run: Run, settings: Settings) -> dict[str, Any]:
    """What `vggrepro train` writes, as far as the audit reads it."""
    settings_of_run, parent = settings.for_run(run), run.parent(staged=settings.staged)
    record = fill_in(training_record(run, settings), "training")
    return {
        "run": run.name,
        "settings": settings_of_run.model_dump(mode="json"),
        "parent": {"run": parent.name, "weights": weights_of(parent)} if parent else None,
        "epochs": settings_of_run.train.epochs,
        "iterations": record["iterations"],
        "weights": weights_of(run),
        "record": record,
    }


def training_record(run: Run, settings: Settings) -> dict[str, Any]:
    """What a training measures that does as its settings say."""
    train, model = settings.for_run(run).train, settings.model
    images, val, classes = images_of(settings)
    return {
        **weights_record(run, settings),
        "optimiser": "SGD",
        "batch": min(train.batch, images),
        "images": images * train.epochs,
        "in_epoch": [images],
        "iterations": ceil(images / min(train.batch, images)) * train.epochs,
        "rates": rates_of(train),
        "momentum": [train.momentum],
        "weight_decay": [train.weight_decay],
        "precision": [train.precision],
        "processes": [1],
        "pieces": [1],
        "crop": [model.crop],
        "pixels": [-125.0, 140.0],
        "cut_on": ["device" if train.on_device else "CPU"],
        "mean": [[123.7, 116.8, 103.9]],
        "mean_of_data": [123.7, 116.8, 103.9],
        "drawn": images * train.epochs,
        "S": [model.pixels(int(side)) for side in (run.S.split("-") * 2)[:2]],
        "flipped": 0.5 * train.flip,
        "colour_std": train.colour_std,
        "units": 10**9,
        "dropout": model.dropout,
        "data_set": NAMES[settings.data.layout],
        "classes": classes,
        "train_images": images,
        "val_images": val,
    }


def rates_of(train: TrainSettings) -> list[list[float]]:
    """From which epoch on, which learning rate."""
    drops = train.drop_epochs
    if drops is None:
        drops = tuple(range(1, 1 + min(train.drops, train.epochs - 1)))
    return [[epoch + 1, train.learning_rate * 0.1**k] for k, epoch in enumerate([0, *drops])]


def weights_record(run: Run, settings: Settings) -> dict[str, Any]:
    """What a net is made of, and where its first weights come from."""
    model, layers, parent = settings.model, layers_of(run.net), run.parent(staged=settings.staged)
    of_parent = (
        [] if not parent else layers if parent.net == run.net else [name for name in layers if name in TRANSFERRED]
    )
    transferred = [name for name in of_parent if not (run.localises and name == "fc8")]
    random = {name: 0.01 for name in layers if name not in transferred}
    return {
        "lent_by": parent.name if parent else None,
        "lent": transferred,
        "random": random,
        "init": settings.for_run(run).train.init if random else "none",
        "biases": 0.0,
        "still": [name for name in layers if name.startswith("conv")] if run.layers == "fc" else [],
        "net": {
            "layers": ["Conv2d", "Linear", "MaxPool2d", "ReLU"],
            "width": model.width,
            "fc": model.fc,
            "poolings": {4: 2, 8: 3, 16: 4, 32: 5}[model.scale_unit],
            "pooling": model.pooling,
            "lrn": [[2.0, 5.0, 1e-4, 0.75]] * (run.net == "A-LRN"),
        },
    }


def write_runs(folder: Path, settings: Settings, runs: list[Run]) -> Path:
    """`run.json` of runs and of all that they are initialised from; returns the folder."""
    missing = list(runs)
    while missing:
        run = missing.pop()
        file = folder / run.name / "run.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(run_json(run, settings)), encoding="utf-8")
        if parent := run.parent(staged=settings.staged):
            missing.append(parent)
    return folder


def made_json(evaluation: Evaluation, settings: Settings, images: int) -> dict[str, Any]:
    """What an evaluation writes beside its scores, as far as the audit reads it."""
    run, model = evaluation.run, settings.model
    whole = evaluation.protocol == "dense"
    views = {"dense": 1 if run.localises else 2, "multi-crop": 50, "centre-crop": 1}[evaluation.protocol]
    record = {
        "views": {str(model.pixels(evaluation.Q) if whole else model.crop): views * images},
        "mirrored": views > 1,
        "pixels": [-125.0, 140.0],
        "precision": [settings.evaluate.precision],
        "scales": [evaluation.Q],
    }
    of_boxes: dict[str, Any] = {"answers": "the true classes", "classifier": None, "labelled by": {}}
    if evaluation.protocol == "dense":
        best = [each.seeded(run.seed) for each in evaluations_of(best_classification())]
        labelled_by = {each.path: weights_of(each.run) for each in best}
        of_boxes = {"answers": "labels", "classifier": weights_of(run.parent() or run), "labelled by": labelled_by}
    return {
        **(of_boxes if run.localises else {}),
        "run": run.name,
        "protocol": evaluation.protocol,
        "Q": evaluation.Q,
        "weights": weights_of(run),
        "data set": NAMES[settings.data.layout],
        "settings": settings.evaluate.model_dump(mode="json"),
        "record": fill_in(record, "evaluation"),
    }


TEST_IMAGES = {"voc2007": 4_952, "voc2012": 5_823, "caltech101": 3_000, "caltech256": 15_187}
"""Images that SVMs are measured on, by data set."""


def svm_images(task: str, settings: Settings) -> int:
    """The number of images that the SVMs of a task are measured on."""
    data = TASKS[task].data
    return 100 if settings.transfer.stand_in and settings.transfer.paths[data] is None else TEST_IMAGES[data]


SVM_NET = Run("D", "256-512")
"""Whose features the SVMs are trained on."""


def features_json(name: str, scales: tuple[int, ...], settings: Settings, images: int = 10) -> dict[str, Any]:
    """What computing the features of a collection writes, as far as the audit reads it."""
    views: dict[str, int] = {}
    for Q in scales:
        side = str(settings.model.pixels(Q))
        views[side] = views.get(side, 0) + 2 * images
    record = {"views": views, "mirrored": True, "pixels": [-125.0, 140.0], "precision": [settings.evaluate.precision]}
    return {
        "run": SVM_NET.name,
        "name": name,
        "weights": weights_of(SVM_NET),
        "scales": list(scales),
        "images": images,
        "settings": settings.evaluate.model_dump(mode="json"),
        "record": fill_in(record | {"scales": list(scales)}, "evaluation"),
    }


def svms_json(task: str, settings: Settings) -> dict[str, Any]:
    """What classifying a task writes, as far as the audit reads it."""
    transfer, caltech = settings.transfer, TASKS[task].data.startswith("caltech")
    return {
        "task": task,
        "features": [features_json(name, TASKS[task].scales, settings) for name in TASKS[task].collections],
        "counted": ["a class"] * (TASKS[task].classes - (TASKS[task].counted != "all")),
        "settings": transfer.model_dump(mode="json"),
        "C from": list(transfer.C),
        "C": [transfer.C[0]] * (transfer.splits if caltech else 1),
        "measure": transfer.ap_2007 if TASKS[task].data == "voc2007" else "recall" if caltech else "area",
        "classes": ["a class"] * (TASKS[task].classes - 1) + ["a class" if TASKS[task].counted == "all" else "other"],
        "trained on": [getattr(transfer, f"{TASKS[task].data}_train")] if caltech else [],
    }


def fill_in(record: dict[str, Any], section: str) -> dict[str, Any]:
    """A record with the paper's values of the plain fields that are missing: of rules that the lists above do not know."""
    for rule in protocol_rules()[section]:
        function, [field, *_] = rule.measurement
        name = field.removeprefix("record.")
        if function in PLAIN_TYPES and field.startswith("record.") and "." not in name:
            expected = rule.expect.get("every")
            record.setdefault(name, [expected] if function.endswith("s") else expected)
    return record
