"""Records as faithful trainings and evaluations leave them, written from settings alone: for tables of made-up scores."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

from vggrepro.judging.records import TYPES
from vggrepro.nets.initialisation import STAGED
from vggrepro.nets.vgg import LAYERS, Conv
from vggrepro.paper.protocol import call, protocol_rules
from vggrepro.paper.runs import Evaluation, Run
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.models import Settings

IMAGES = {"ilsvrc": (1_281_167, 50_000, 1000), "tiny-imagenet": (100_000, 10_000, 200), "stand-in": (2_000, 400, 10)}
NAMES = {"ilsvrc": "ILSVRC-2012", "tiny-imagenet": "Tiny ImageNet", "stand-in": "stand-in (drawn by the program)"}


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
    mine, parent = settings.for_run(run), run.parent(staged=settings.staged)
    train, model, layers = mine.train, mine.model, layers_of(run.net)
    images, val, classes = IMAGES[settings.data.layout]
    steps = ceil(images / min(train.batch, images))
    drops = list(
        train.drop_epochs if train.drop_epochs is not None else range(1, 1 + min(train.drops, train.epochs - 1))
    )
    rates = [[epoch + 1, train.learning_rate * 0.1**k] for k, epoch in enumerate([0, *drops])]
    whole = parent and parent.net == run.net
    lent = [] if not parent else [n for n in layers if (whole or n in STAGED) and not (run.localises and n == "fc8")]
    low, high = (model.pixels(int(side)) for side in (run.S.split("-") * 2)[:2])
    random = {name: 0.01 for name in layers if name not in lent}
    record = {
        "optimiser": "SGD",
        "batch": min(train.batch, images),
        "images": images * train.epochs,
        "in_epoch": [images],
        "iterations": steps * train.epochs,
        "rates": rates,
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
        "S": [low, high],
        "flipped": 0.5 * train.flip,
        "colour_std": train.colour_std,
        "units": 10**9,
        "dropout": model.dropout,
        "lent_by": parent.name if parent else None,
        "lent": lent,
        "random": random,
        "init": train.init if random else "none",
        "biases": 0.0,
        "still": [name for name in layers if name.startswith("conv")] if run.layers == "fc" else [],
        "net": {
            "layers": ["Conv2d", "Linear", "MaxPool2d", "ReLU"],
            "width": model.width,
            "fc": model.fc,
            "poolings": {8: 3, 16: 4, 32: 5}[model.scale_unit],
            "pooling": model.pooling,
            "lrn": [[2.0, 5.0, 1e-4, 0.75]] * (run.net == "A-LRN"),
        },
        "data_set": NAMES[settings.data.layout],
        "classes": settings.data.classes or classes,
        "train_images": images,
        "val_images": val,
    }
    fill_in(record, "training")
    return {
        "run": run.name,
        "settings": mine.model_dump(mode="json"),
        "parent": {"run": parent.name, "weights": weights_of(parent)} if parent else None,
        "epochs": train.epochs,
        "iterations": steps * train.epochs,
        "weights": weights_of(run),
        "record": record,
    }


def write_runs(folder: Path, settings: Settings, runs: list[Run]) -> Path:
    """`run.json` of runs and of all that they began from; returns the folder."""
    wanted = list(runs)
    while wanted:
        run = wanted.pop()
        file = folder / run.name / "run.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(run_json(run, settings)), encoding="utf-8")
        if parent := run.parent(staged=settings.staged):
            wanted.append(parent)
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
    fill_in(record, "evaluation")
    return {
        "run": run.name,
        "protocol": evaluation.protocol,
        "Q": evaluation.Q,
        "weights": weights_of(run),
        "data set": NAMES[settings.data.layout],
        "settings": settings.evaluate.model_dump(mode="json"),
        "record": record,
    }


def svms_json(task: str, settings: Settings) -> dict[str, Any]:
    """What classifying a task writes, as far as the audit reads it, on features of no net."""
    transfer, caltech = settings.transfer, TASKS[task].data.startswith("caltech")
    return {
        "task": task,
        "features": [],
        "settings": transfer.model_dump(mode="json"),
        "C from": list(transfer.C),
        "C": [1.0] * (transfer.splits if caltech else 1),
        "measure": transfer.ap_2007 if task == "voc2007" else "as printed",
        "classes": ["a class"] * TASKS[task].classes,
        "trained on": [getattr(transfer, f"{TASKS[task].data}_train")] if caltech else [],
    }


def fill_in(record: dict[str, Any], section: str) -> None:
    """The paper's values of plain fields that are not in a record: of rules that nobody has written into it above."""
    for rule in protocol_rules()[section]:
        reader, fields = call(rule.measured)
        name = fields[0].removeprefix("record.")
        if reader in TYPES and fields[0].startswith("record.") and "." not in name:
            expected = rule.expect.get("every")
            record.setdefault(name, [expected] if reader.endswith("s") else expected)
