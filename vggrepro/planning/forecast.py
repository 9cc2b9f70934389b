"""How long a step takes on some hardware: its work over what the hardware attains, corrected by what was measured.

A step that the device computes takes the longer of two times: its arithmetic and bytes at a share of what the data sheet has,
and the decoding of its images on CPU threads beside it. Where nobody measured the share, it is a range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vggrepro.core.plan_record import Prediction
from vggrepro.planning.hardware import Device
from vggrepro.planning.rates import MeasuredRates
from vggrepro.planning.steps import Step
from vggrepro.planning.work import StepWork


class Range(NamedTuple):
    """What is expected of a quantity, between two bounds."""

    low: float
    mid: float
    high: float

    def times(self, factor: float) -> Range:
        """All three times a factor."""
        return Range(*(factor * value for value in self))

    def plus(self, other: Range) -> Range:
        """Bound by bound: steps are wrong in the same direction, because one share of the hardware stands behind them."""
        return Range(*(a + b for a, b in zip(self, other, strict=True)))


NO_TIME = Range(0.0, 0.0, 0.0)
UNMEASURED = Range(0.25, 0.5, 0.8)
"""Share of the floor of a device that nobody measured. A half is what PyTorch reaches with VGG on most cards."""
AROUND = Range(0.9, 1.0, 1.1)
"""Around a share that was measured on another machine of the kind."""
DECODED = Range(60.0, 105.0, 150.0)
"""Megapixels that a core decodes and rescales in a second: one core reads 563 JPEGs of 0.19 megapixels (AMD EPYC)."""
CPU_SECONDS = Range(0.5, 1.0, 2.0)
"""Around the seconds of a step that computes little, or on the CPU alone."""
FULL_WIDTH, NARROW = 64, 0.25
"""Channels of the first layer from which on a device is used as well as by the paper's nets. Narrower nets attain less, by
this power of the width: those an eighth as wide attain 0.3 of a core's peak (AMD EPYC)."""


@dataclass(frozen=True)
class Machines:
    """What a run is planned on."""

    device: Device
    gpus: int = 1
    """In all; 1 for a CPU."""
    per_training: int = 1
    """GPUs of a training."""
    cores: int = 8
    """CPU cores in all."""

    def device_of(self, step: Step) -> Device:
        """The device as a step sees it: of a CPU, as many cores as it has threads."""
        from vggrepro.planning.hardware import with_cores

        return with_cores(self.device, min(step.threads, self.cores)) if self.device.is_cpu else self.device

    def gpus_of(self, step: Step) -> int:
        """How many GPUs a step takes."""
        if self.device.is_cpu or not step.work.on_device:
            return 0
        return self.per_training if step.rule == "train" else 1

    def threads_of(self, step: Step) -> int:
        """CPU threads that a step reads images with, or computes with."""
        return min(step.threads, self.cores)


@dataclass(frozen=True)
class Forecast:
    """What a step that is still to be made is expected to take."""

    step: Step
    seconds: Range
    model: float
    measured: int
    """How many measured steps of its kind are behind it."""
    gpus: int
    threads: int
    watts: float
    """Of what computes it, at full load."""
    left: float = 1.0
    """Share of the step that is still to be done."""

    def as_record(self, device: str) -> Prediction:
        """For `plan.json`: of the whole step."""
        low, mid, high = self.seconds.times(1 / max(self.left, 1e-9))
        return Prediction(device=device, seconds=mid, low=low, high=high, model=self.model, measured=self.measured)


def forecast(step: Step, machines: Machines, rates: MeasuredRates, left: float = 1.0) -> Forecast:
    """What a step takes. Raises ValueError where the device cannot compute in the step's precision."""
    gpus, threads = machines.gpus_of(step), machines.threads_of(step)
    seconds = _modelled(step, machines)
    correction = rates.of(step, machines.device.name) if step.work.modelled else None
    model = seconds.mid
    if correction:
        seconds = Range(*(model * ratio for ratio in (correction.low, correction.mid, correction.high)))
    device = machines.device_of(step)
    cpu = device.entry.watts if machines.device.is_cpu else 12.5 * threads
    return Forecast(
        step,
        seconds.times(left),
        model,
        correction.n if correction else 0,
        gpus,
        threads,
        gpus * machines.device.entry.watts + (cpu if not gpus else 0.0),
        left,
    )


def _modelled(step: Step, machines: Machines) -> Range:
    """The time by arithmetic, bytes and decoding alone."""
    work, threads = step.work, machines.threads_of(step)
    decoding = Range(*(work.decoded / (rate * threads) for rate in reversed(DECODED)))
    started = CPU_SECONDS.times(work.seconds)
    if not work.on_device:
        return decoding.plus(started)
    computed = computing(work, machines.device_of(step), max(1, machines.gpus_of(step)))
    slower = Range(*(max(pair) for pair in zip(computed, decoding, strict=True)))
    return slower.plus(started)


def computing(work: StepWork, device: Device, gpus: int) -> Range:
    """Seconds of the arithmetic and bytes alone, on some devices together."""
    floor = work.operations / device.peak(work.precision) + work.moved / device.bandwidth
    narrow = min(1.0, work.width / FULL_WIDTH) ** NARROW
    low, mid, high = attained(device, work.precision).times(narrow)
    # a ring; what is sent while backward still computes costs nothing: all of it, half of it, none of it
    exchanged = 2 * (gpus - 1) / gpus * work.gradients / device.link
    return Range(floor / gpus / high, floor / gpus / mid + exchanged / 2, floor / gpus / low + exchanged)


def attained(device: Device, precision: str) -> Range:
    """The share of the floor that a device attains: measured, or what is usual."""
    shares: Mapping[Any, float] = device.entry.measured.shares if device.entry.measured else {}
    return AROUND.times(shares[precision]) if precision in shares else UNMEASURED


def memory_problem(work: StepWork, device: Device, gpus: int = 1) -> str:
    """How a step's memory compares with the device's: empty where it fits, else what follows."""
    weights = work.least_memory
    needed = weights + (work.memory - weights) / gpus
    if needed <= device.memory:
        return ""
    if work.least_memory > device.memory:
        return f"does not fit: {work.least_memory / 1e9:.1f} GB for a single image, and {device.memory / 1e9:.0f} GB are there"
    pieces = 1
    while weights + (work.memory - weights) / gpus / pieces > device.memory:
        pieces *= 2
    return f"in {pieces} pieces: {needed / 1e9:.0f} GB at a time are more than {device.memory / 1e9:.0f} GB"


def total(ranges: Sequence[Range]) -> Range:
    """The sum, bound by bound."""
    result = NO_TIME
    for each in ranges:
        result = result.plus(each)
    return result
