"""Which GPU a process computes on, and what it cost. Torch is imported where it is used."""

from __future__ import annotations

import os
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
"""Locks on the GPUs of this process. They end with it, however it ends."""

WAIT = 5.0
"""Seconds between two looks for a free GPU."""


def take_gpu(names: list[str], folder: Path, wait: float = WAIT) -> int:
    """The number of a GPU that no other process of this user has taken, by the GPUs' names; waits until there is one.

    Snakemake counts GPUs but gives out none, and neither does torchrun: each process takes a free one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = False
    while True:
        for number, name in enumerate(names):
            file = (folder / f"{name}.lock").open("w")
            if lock(file):
                _held.append(file)
                return number
            file.close()
        if not told:
            print(
                f"waiting for one of {len(names)} GPUs: other processes of yours hold them", file=sys.stderr, flush=True
            )
            told = True
        time.sleep(wait)


def choose_device(name: str, processes: int = 1) -> torch.device:
    """The device called `name`: auto (a free GPU where there are GPUs), cpu, cuda (a free GPU), cuda:1.

    Raises ValueError for a GPU that is not there, or fewer GPUs than `processes` on this machine that need one each.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if there else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from None
    if device.type != "cuda":
        return device
    if not there or (device.index or 0) >= there:
        raise ValueError(f"--device {name}: {there or 'no'} GPU that torch can use here: try --device cpu")
    if processes > there:
        raise ValueError(f"{processes} processes on this machine need a GPU each, there are {there}: start fewer")
    if ":" not in name:
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(there)]
        device = torch.device("cuda", take_gpu(names, Path(tempfile.gettempdir()) / f"vggrepro-{os.getuid()}"))
    torch.cuda.set_device(device)
    return device


def device_name(device: torch.device) -> str:
    """What a result says that it was computed on."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


class Meter:
    """What a process has used since this was made."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.started = device, time.perf_counter()
        self.joules_before = gpu_joules(device)

    @property
    def seconds(self) -> float:
        """Time on the wall."""
        return time.perf_counter() - self.started

    @property
    def joules(self) -> float:
        """Energy of the GPU, whoever used it; NaN where the driver does not tell."""
        return gpu_joules(self.device) - self.joules_before

    @property
    def peak_bytes(self) -> int:
        """The most memory held at a time: the GPU's, or the process's on a CPU."""
        import torch

        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device)
        # Linux counts in KiB, macOS in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def gpu_joules(device: torch.device) -> float:
    """What a GPU has used since its driver was loaded; NaN where the driver does not tell."""
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
