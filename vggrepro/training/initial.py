"""What a training begins with: two prepared stores, and a net with random or transferred weights (section 3.1)."""

from __future__ import annotations

from pathlib import Path

import torch

from vggrepro.data.store import Store
from vggrepro.nets.initialisation import initialise_from, initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import Weights, load_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.models import RunSettings
from vggrepro.settings.variants import NOTHING


def open_stores(run: Run, train_folder: Path, val_folder: Path) -> tuple[Store, Store]:
    """The training and the validation store. Raises ValueError where they do not go together, or lack boxes to judge by."""
    train, val = Store(train_folder), Store(val_folder)
    if train.about["wnids"] != val.about["wnids"]:
        raise ValueError(f"{train_folder} and {val_folder} have different classes: prepare them again, together")
    if run.localises and not val.annotated.all():
        raise ValueError(f"{val_folder}: {run.name} predicts boxes, but not every image has a true box to judge by")
    return train, val


def load_initial_weights(run: Run, file: Path | None, begins: str | None = None) -> Weights | None:
    """The weights that a run is initialised from; None for random ones.

    `begins` names another run than the paper's, or `nothing`. Raises ValueError if the weights are not those of that run, or
    if there is no file where one is needed.
    """
    parent = run.parent() if begins is None else None if begins == NOTHING else Run.parse(begins)
    if file is None:
        if parent and (begins or run.stage != "scratch"):
            raise ValueError(f"{run.name} is initialised from {parent.name}: give its weights with --parent")
        return None
    weights = load_weights(file)
    if weights.run != parent:
        expected = parent.name if parent else "random weights, without --parent"
        raise ValueError(f"{file}: holds {weights.run.name}, but {run.name} begins with {expected}")
    return weights


def check_boxes(run: Run, settings: RunSettings) -> None:
    """Raise ValueError unless the settings have boxes where the run predicts them, and nowhere else."""
    if (settings.boxes is not None) != run.localises:
        expected = "need" if run.localises else "have no"
        raise ValueError(
            f"{run.name}: the settings of a run for {run.objective} {expected} boxes, got {settings.boxes}"
        )


def initial_net(
    run: Run, settings: RunSettings, classes: int, initial: Weights | None, device: torch.device
) -> tuple[VGG, list[str]]:
    """The net on its device before the first step, and the names of the layers that were transferred from `initial`."""
    net = VGG(run.net, run.outputs(classes), settings.model)
    initialise_randomly(net, settings.train.init, run.seed)
    # PAPER A.1: the last layer of a net that predicts boxes begins at random
    but = ("fc8",) if run.localises else ()
    transferred = []
    if initial:
        same = (initial.run.net, initial.model.layers) == (run.net, settings.model.layers)
        transferred = initialise_from(net, initial.tensors, same_net=same, but=but, exact=not run.variant)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # PAPER 4.4, A.1: the jittered D of the submission and two of Table 8's nets moved their FC layers only
    net.features.requires_grad_(run.layers == "all")
    return net, transferred
