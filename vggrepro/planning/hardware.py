"""What computes: `tables/hardware.yaml`, read and checked, and what this machine has. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from vggrepro.core.paths import ROOT
from vggrepro.core.provenance import cpu_name
from vggrepro.core.validation import FrozenModel, nearest_hint, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.settings.fields import PositiveNumber

HARDWARE_FILE = ROOT / "tables" / "hardware.yaml"
THIS = "this"
"""The name of the machine that plans."""

Precision = Literal["fp32", "tf32", "bf16"]
FLOATS_PER_CYCLE = {"avx2": 32, "avx512f": 64}
"""Operations of a core in a cycle: two products of 8 or 16 numbers and their additions."""
HERTZ, WATTS_PER_CORE = 3e9, 12.5
"""Assumed of a core of this machine."""


class MeasuredShares(FrozenModel):
    """What trainings of D were measured at."""

    shares: Annotated[dict[Precision, Annotated[float, Field(gt=0, le=2)]], Field(min_length=1)]
    """Of the floor, by precision."""
    source: str
    """Where the measurement is kept."""


class HardwareEntry(FrozenModel):
    """An entry of the file, which describes its keys."""

    matches: Annotated[str, Field(min_length=1)]
    peak: Annotated[dict[Precision, PositiveNumber], Field(min_length=1)]
    bandwidth: PositiveNumber
    memory: PositiveNumber
    watts: PositiveNumber
    link: PositiveNumber
    cores: Annotated[int, Field(ge=1)]
    source: Annotated[str, Field(min_length=1)]
    measured: MeasuredShares | None = None


@dataclass(frozen=True)
class Device:
    """A kind of GPU, or a CPU."""

    name: str
    entry: HardwareEntry

    @property
    def is_cpu(self) -> bool:
        """Whether it is no GPU."""
        return self.entry.matches == "CPU"

    @property
    def bandwidth(self) -> float:
        """Bytes per second within its memory."""
        return 1e9 * self.entry.bandwidth

    @property
    def link(self) -> float:
        """Bytes per second between two of them."""
        return 1e9 * self.entry.link

    @property
    def memory(self) -> float:
        """Bytes."""
        return 1e9 * self.entry.memory

    def peak(self, precision: str) -> float:
        """Operations per second. Raises ValueError where the device does not compute in this precision."""
        peaks: Mapping[Any, float] = self.entry.peak
        # a CPU computes TF32 as fp32, and emulates bf16
        if precision not in peaks and self.is_cpu:
            return 1e12 * peaks["fp32"] / (4 if precision == "bf16" else 1)
        if precision not in peaks:
            raise ValueError(
                f"--device {self.name}: it does not compute in {precision}: expected a device that does, or another "
                f"precision of {', '.join(peaks)}: --config train={{precision: fp32}}"
            )
        return 1e12 * peaks[precision]


@cache
def devices(path: Path = HARDWARE_FILE) -> Mapping[str, Device]:
    """Every device of the file by name; a ValueError names the file, the device and the key."""
    entries = read_yaml(path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected devices, each with peak, bandwidth, memory and watts, got {entries!r}")
    return {name: Device(name, validated(HardwareEntry, entry, f"{path}: {name}")) for name, entry in entries.items()}


def device_called(name: str) -> Device:
    """A device by its name in the file, or `this`; a ValueError with the nearest names for another."""
    if name == THIS:
        return this_machine()[0]
    if name not in devices():
        known = [THIS, *devices()]
        raise ValueError(
            f"--device: no device is called {name!r}{nearest_hint(name.lower(), known)}: {', '.join(known)}"
        )
    return devices()[name]


@cache
def this_machine() -> tuple[Device, int]:
    """What this machine computes on, and how many of it: its GPUs if it has some, else its CPU."""
    names = gpu_names()
    if names:
        known = (device for device in devices().values() if device.entry.matches in names[0])
        device = next(known, None)
        if device is None:
            raise ValueError(
                f"--device {THIS}: {names[0]} is not in {HARDWARE_FILE}: add it with its peak, bandwidth, memory and watts"
            )
        return device, len(names)
    return this_cpu(), 1


def gpu_names() -> list[str]:
    """The names of this machine's GPUs, as the driver gives them."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []


def this_cpu() -> Device:
    """The CPU of this machine: its cores at what is assumed of one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = _cpu_flags()
    cycle = max((count for flag, count in FLOATS_PER_CYCLE.items() if flag in flags), default=16)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    changes = {
        "peak": {"fp32": cores * HERTZ * cycle / 1e12},
        "memory": memory / 1e9,
        "watts": cores * WATTS_PER_CORE,
        "cores": cores,
        "source": f"{cycle} operations a core and cycle, 3 GHz assumed",
    }
    return Device(cpu_name(), devices()["cpu"].entry.model_copy(update=changes))


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split(":", 1)[1].split()}


def with_cores(device: Device, cores: int) -> Device:
    """A CPU of so many cores, in proportion; beside a GPU, the cores that read images."""
    entry, share = device.entry, cores / device.entry.cores
    if device.is_cpu:
        peak = {precision: share * rate for precision, rate in entry.peak.items()}
        entry = entry.model_copy(update={"peak": peak, "watts": share * entry.watts})
    return replace(device, entry=entry.model_copy(update={"cores": cores}))
