"""A minute on this machine: how fast it trains and tests nets of the present size, beside what the model says.

The result is kept in `results/calibration.json`, and corrects every later plan for this device and this size of nets.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vggrepro.core.devices import choose_device
from vggrepro.core.files import read_json, write_json
from vggrepro.core.provenance import provenance_record
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.planning.arithmetic import forward_work, training_work
from vggrepro.planning.data_sizes import KNOWN
from vggrepro.planning.forecast import computing
from vggrepro.planning.hardware import Device, this_machine, with_cores
from vggrepro.planning.rates import CALIBRATION
from vggrepro.planning.work import BYTES_PER_NUMBER, StepWork, size_of
from vggrepro.settings.models import Settings
from vggrepro.training.gradients import outputs_of
from vggrepro.training.optimiser import SGD

NET = "D"
SECONDS = 25.0
"""Of each of the two pieces of work."""
LEAST_REPETITIONS, MOST_REPETITIONS = 3, 200
"""Repetitions."""


def calibrate_machine(settings: Settings, file: Path = CALIBRATION) -> None:
    """Measure training and testing net D at the size of some settings, and keep how many times the modelled time they take.

    Raises ValueError where this machine's GPU is not in the table of hardware.
    """
    kind, _ = this_machine()
    device = choose_device("cpu" if kind.is_cpu else "cuda")
    threads = min(settings.threads, kind.entry.cores)
    if kind.is_cpu:
        torch.set_num_threads(threads)
    works = {"train": _training(settings, device), "evaluate": _testing(settings, device)}
    entries = [_entry(name, *work, kind, threads, settings, device) for name, work in works.items()]
    key = ("work", "size", "device")
    old = read_json(file, listed=False) if file.exists() else []
    kept = [entry for entry in old if all(any(entry[k] != new[k] for k in key) for new in entries)]
    write_json(file, [*kept, *entries])


def _training(settings: Settings, device: torch.device) -> tuple[Callable[[], None], StepWork]:
    """A step of training on a batch, or on the part of it that a minute allows."""
    model, train, classes = settings.model, settings.train, KNOWN[settings.data.layout].classes
    batch = train.batch if device.type == "cuda" else min(train.batch, 16)
    net = VGG(NET, classes, model).to(device).train()
    optimiser = SGD(net, learning_rate=1e-6, momentum=train.momentum, weight_decay=train.weight_decay)
    images = torch.zeros(batch, 3, model.crop, model.crop, device=device).to(memory_format=torch.channels_last)
    kept = net.dropout(batch, 0, device)

    def step() -> None:
        net.zero_grad()
        outputs_of(net, images, kept, train.precision).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    each = {"batch": batch, "bytes_each": BYTES_PER_NUMBER[train.precision], "fc_alone": False}
    operations, moved = training_work(NET, model, classes, **each)  # type: ignore[arg-type]
    size = size_of(model, train.precision, settings.data.layout)
    return step, _work(size, batch * operations, batch * moved, train.precision, model.width)


def _testing(settings: Settings, device: torch.device) -> tuple[Callable[[], None], StepWork]:
    """Dense evaluation of some images at Q = 256."""
    model, how, classes = settings.model, settings.evaluate, KNOWN[settings.data.layout].classes
    side = model.pixels(256)
    count = max(1, min(how.batch_pixels, 2**18 if device.type == "cpu" else 2**22) // side**2)
    net = ready_for_inference(VGG(NET, classes, model).to(device), how)
    images = torch.zeros(count, 3, side, side, device=device).to(memory_format=torch.channels_last)

    def show() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=how.precision == "bf16"):
            net.scores(images)

    operations, moved = forward_work(NET, model, side, side, classes, BYTES_PER_NUMBER[how.precision])
    size = size_of(model, how.precision, settings.data.layout)
    return show, _work(size, count * operations, count * moved, how.precision, model.width)


def _work(size: str, operations: float, moved: float, precision: str, width: int) -> StepWork:
    return StepWork(size, operations=operations, moved=moved, precision=precision, on_device=True, width=width)


def _entry(
    name: str,
    action: Callable[[], None],
    work: StepWork,
    kind: Device,
    threads: int,
    settings: Settings,
    device: torch.device,
) -> dict[str, Any]:
    part = with_cores(kind, threads) if kind.is_cpu else kind
    modelled = computing(work, part, 1).mid
    seconds = _seconds(action, device)
    ratio = seconds / modelled
    print(
        f"calibration: {name} at the size {work.size}: {ratio:.2f} times the modelled time ({seconds:.3g} s a batch)",
        file=sys.stderr,
        flush=True,
    )
    return {"work": name, "size": work.size, "device": kind.name, "ratio": ratio, "made": provenance_record()}


def _seconds(action: Callable[[], None], device: torch.device) -> float:
    """The median time of an action, after one that is not counted."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) <= LEAST_REPETITIONS or (time.perf_counter() < end and len(times) < MOST_REPETITIONS):
        started = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return median(times[1:])
