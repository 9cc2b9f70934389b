"""Processes forked from one that has loaded what they need: loading takes longer than what most of them do."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

LOADED = [
    "tests.workflow.loaded", "smart_open", "vggrepro.planning.session", "vggrepro.workflow.plan",
    "vggrepro.workflow.session", "vggrepro.settings.loading",
    "vggrepro.training.train", "vggrepro.data.crops", "tests.training.helpers",
]  # fmt: skip


def forks() -> ForkServerContext:
    """Makes such processes; they load what they call, if it is something else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def in_a_group(processes: int, function: Callable[..., None], *arguments: object) -> None:
    """Call a function with its `group` in each of several processes, which reach each other as those of torchrun do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    members = [
        forks().Process(target=_member, args=(rank, processes, port, function, arguments)) for rank in range(processes)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert [member.exitcode for member in members] == [0] * processes


def _member(rank: int, processes: int, port: int, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.environ |= {"WORLD_SIZE": str(processes), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    import torch

    from vggrepro.core.devices import set_cpu_arithmetic
    from vggrepro.training.processes import join_processes

    set_cpu_arithmetic(1)
    with join_processes(processes, torch.device("cpu")) as group:
        function(*arguments, group=group)
