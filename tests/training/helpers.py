"""Small trainings that several tests begin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from vggrepro.core.devices import set_cpu_arithmetic
from vggrepro.data.store import Store
from vggrepro.paper.runs import Run
from vggrepro.settings.models import RunSettings
from vggrepro.training import gradients, train
from vggrepro.training.initial import initial_net
from vggrepro.training.loader import Batch
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.signals import TORCHRUN_SIGNALS
from vggrepro.training.train import Training, build_training, train_run

CPU = torch.device("cpu")


def with_dropout(settings: RunSettings, dropout: float = 0.5) -> RunSettings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"dropout": dropout})})


def build(run: Run, settings: RunSettings, stores: tuple[Path, Path], group: ProcessGroup = ALONE) -> Training:
    """A training on this CPU, before its first step."""
    set_cpu_arithmetic(1)
    train_store, val_store = map(Store, stores)
    return build_training(run, settings, train_store, val_store, device=CPU, group=group)


def batches(training: Training) -> Iterator[Batch]:
    """The batches of epoch after epoch."""
    return (batch for epoch in range(1, 99) for batch in training.loader.batches(epoch))


def losses(training: Training, steps: int) -> list[float]:
    """Mean losses of so many steps of a process alone."""
    return [float(training.step(batch).mean) for batch, _ in zip(batches(training), range(steps), strict=False)]


def train_to_the_end(
    run: Run,
    settings: RunSettings,
    stores: tuple[Path, Path],
    out: Path,
    initial_weights: Path | None = None,
    workers: int = 0,
    **options: Any,
) -> None:
    """A whole training on this CPU."""
    set_cpu_arithmetic(1)
    folders = {"train_folder": stores[0], "val_folder": stores[1], "initial_weights": initial_weights, "out": out}
    train_run(run, settings, **folders, device=CPU, workers=workers, **options)


def trained(
    run: Run, settings: RunSettings, stores: tuple[Path, Path], out: Path, *arguments: Any, **options: Any
) -> dict[str, Any]:
    """The same: its `run.json`."""
    train_to_the_end(run, settings, stores, out, *arguments, **options)
    return json.loads((out / "run.json").read_text())


@contextmanager
def float64() -> Iterator[None]:
    """Trainings that are built in this block begin with the weights they always have, and compute in float64."""

    def net_in_float64(*arguments: Any) -> Any:
        net, transferred = initial_net(*arguments)
        return net.double(), transferred

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "initial_net", net_in_float64)
        patch.setattr(gradients, "outputs_of", lambda net, images, kept, precision: net(images.double(), kept))
        yield


def torchrun(processes: int, *command: str) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
        f"--signals-to-handle={TORCHRUN_SIGNALS}", "--no-python", sys.executable, *command,
    ]  # fmt: skip
