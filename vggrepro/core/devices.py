"""The GPU that a process computes on, and the time, energy and memory that it uses. Torch is imported where it is used."""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vggrepro.core.files import lock

if TYPE_CHECKING:
    import torch

_held: list[IO[str]] = []
"""Open lock files of the GPUs that this process has taken: the locks end with the process."""

SECONDS_BETWEEN_ATTEMPTS = 5.0
"""Seconds between two attempts to take a free GPU."""


def take_gpu(names: list[str], folder: Path, wait: float = SECONDS_BETWEEN_ATTEMPTS) -> int:
    """Take a GPU that no other process of this user has, and return its number; waits until there is one.

    `names` identify this machine's GPUs, in the order of their numbers; `folder` holds a lock file for each. Neither
    Snakemake nor torchrun assigns GPUs to processes, therefore each process takes a free one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = False
    while True:
        for number, name in enumerate(names):
            file = (folder / f"{name}.lock").open("w")
            if lock(file):
                _held.append(file)
                return number
            file.close()
        if not waiting:
            print(
                f"waiting for one of {len(names)} GPUs: other processes of yours hold them", file=sys.stderr, flush=True
            )
            waiting = True
        time.sleep(wait)


def choose_device(name: str, processes: int = 1) -> torch.device:
    """The device called `name`: auto (a free GPU, or the CPU of a machine without GPUs), cpu, cuda (a free GPU), cuda:1.

    Raises ValueError for a GPU that does not exist, and where this machine has fewer GPUs than `processes`.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):
        raise ValueError(f"--device {name}: expected auto, cpu, cuda or cuda:N; others are not supported")
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not count or (device.index or 0) >= count:
        raise ValueError(f"--device {name}: torch can use {count or 'no'} GPUs of this machine: try --device cpu")
    if processes > count:
        raise ValueError(f"{processes} processes need a GPU each, this machine has {count}: start at most {count}")
    if ":" not in name:
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(count)]
        device = torch.device("cuda", take_gpu(names, Path(tempfile.gettempdir()) / f"vggrepro-{os.getuid()}"))
    torch.cuda.set_device(device)
    return device


def set_cpu_arithmetic(threads: int) -> None:
    """So many threads, and no NNPACK: its convolutions round 50 times as coarsely as all others in fp32.

    Torch takes it where it has no oneDNN, such as on ARM. A recomputation could not tell that from another training.
    """
    import torch

    torch.set_num_threads(threads)
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]


def device_name(device: torch.device) -> str:
    """The name of a device, as results record it."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


class Meter:
    """Time, energy and memory that this process has used since the meter was created."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.started = device, time.perf_counter()
        self.joules_before = gpu_joules(device)

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return time.perf_counter() - self.started

    @property
    def joules(self) -> float:
        """Energy of the GPU, all processes together; NaN on a CPU and where the driver does not measure it."""
        return gpu_joules(self.device) - self.joules_before

    @property
    def peak_bytes(self) -> int:
        """Peak of the memory reserved on the GPU; on a CPU, of the process's resident memory."""
        import torch

        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device)
        # Linux counts in KiB, macOS in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def gpu_joules(device: torch.device) -> float:
    """Energy that a GPU has used since its driver was loaded; NaN for a CPU and where the driver does not measure it."""
    if device.type != "cuda":
        return float("nan")
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByUUID(uuid))) / 1000
    except pynvml.NVMLError:
        return float("nan")
