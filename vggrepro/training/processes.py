"""Many processes that train one net: which images are whose, and what they have to agree on.

A process alone is a group of one, for which all of this does nothing: there is one way to train. torchrun starts the
processes, on one machine or on several. DistributedDataParallel averages gradients (nccl between GPUs, gloo between CPUs);
everything else goes between CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(hours=12)
"""How long a process waits for the others: torchrun ends all of them if one dies."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training, and which of them this is."""

    rank: int = 0
    size: int = 1
    cpu: Any = None
    """The group in which CPUs exchange values; None for a process alone."""

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def share(self, images: int) -> slice:
        """Which images of a global batch are this process's: a contiguous part, perhaps empty, of equal sizes up to one."""
        size, remainder = divmod(images, self.size)
        first = self.rank * size + min(self.rank, remainder)
        return slice(first, first + size + (self.rank < remainder))

    def total(self, values: Tensor) -> Tensor:
        """Element by element the sum over the processes, on the CPU."""
        total = values.detach().cpu().clone()
        if self.size > 1:
            dist.all_reduce(total, group=self.cpu)
        return total

    def largest(self, value: float) -> float:
        """The largest of the processes' values."""
        largest = torch.tensor(float(value), dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.cpu)
        return float(largest)

    def any(self, flag: bool) -> bool:
        """Whether a flag is up in any process."""
        return self.largest(flag) > 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            dist.barrier(group=self.cpu)

    def from_main(self, value: Any) -> Any:  # noqa: ANN401
        """The main process's value, of anything small."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, group=self.cpu, group_src=0)
        return values[0]

    def copy_from_main(self, tensors: list[Tensor]) -> None:
        """Overwrite tensors, on whatever device, with those of the main process."""
        for tensor in tensors if self.size > 1 else ():
            on_cpu = tensor.detach().cpu()
            dist.broadcast(on_cpu, group=self.cpu, group_src=0)
            tensor.detach().copy_(on_cpu)

    def agree(self, value: Any, about: str) -> None:  # noqa: ANN401
        """Raise ValueError in every process if one has another value than the main process."""
        expected = self.from_main(value)
        if self.any(value != expected):
            raise ValueError(
                f"the processes of this training do not agree about {about}: process {self.rank} has {value}, process 0 "
                f"{expected}: give all machines the same files and settings"
            )

    def wrap(self, net: nn.Module) -> nn.Module:
        """The net whose gradients are averaged over the processes; a process alone keeps its own.

        All processes go on with the weights of the main one.
        """
        if self.size == 1:
            return net
        device = next(net.parameters()).device
        index = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(net, device_ids=index, gradient_as_bucket_view=True)


ALONE = ProcessGroup()


def without_exchange(net: nn.Module) -> AbstractContextManager[None]:
    """A block whose gradients only add up in this process: those of all but the last piece of a batch."""
    return net.no_sync() if isinstance(net, DistributedDataParallel) else nullcontext()


def processes_on_this_machine() -> int:
    """How many processes torchrun started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def join_processes(processes: int, device: torch.device) -> Iterator[ProcessGroup]:
    """The group of the `processes` that torchrun started.

    Raises ValueError if torchrun started more or fewer, or if they do not reach each other.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    copies = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if "WORLD_SIZE" not in os.environ else 1
    if started != processes or copies > 1:
        what = f"Slurm started {copies} that do not know of each other" if copies > 1 else f"there are {started}"
        raise ValueError(
            f"--processes {processes}: {what}: start them with torchrun --standalone --nproc-per-node={processes} "
            "--no-python vggrepro train ..., and without it for one"
        )
    if processes == 1:
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        group = ProcessGroup(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo", timeout=TIMEOUT))
        answers = int(group.total(torch.ones(())))
        if answers != processes:
            raise ValueError(f"--processes {processes}: {answers} answered: check the network between the machines")
        yield group
    finally:
        dist.destroy_process_group()
