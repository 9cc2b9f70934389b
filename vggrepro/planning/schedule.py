"""When every step begins and ends on so many GPUs and cores, and the chain of steps that takes longest."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Task:
    """A step that is still to be made, as a scheduler sees it."""

    name: str
    needs: tuple[str, ...]
    """Of the other tasks; what is made already is waited for by nobody."""
    seconds: float
    gpus: int
    cores: int


@dataclass(frozen=True)
class Schedule:
    """What a list scheduler makes of tasks: of those that are ready, the one with the longest chain behind it begins first."""

    seconds: float
    """Until the last task has ended."""
    ends: Mapping[str, float]
    chain: tuple[str, ...]
    """The tasks of the critical path, in order."""
    chain_seconds: float
    """What no number of machines makes shorter."""


def schedule(tasks: Sequence[Task], *, gpus: int, cores: int) -> Schedule:
    """Put tasks, each after those that it needs, on so many GPUs and cores.

    A task that asks for more than there is gets all of it.
    """
    known = {task.name for task in tasks}
    followers: dict[str, list[str]] = {task.name: [] for task in tasks}
    waiting = {task.name: {need for need in task.needs if need in known} for task in tasks}
    for name, needs in waiting.items():
        for need in needs:
            followers[need].append(name)
    behind = _longest_behind(tasks, followers)
    by_name, order = {task.name: task for task in tasks}, count()
    # tasks that ask for the same begin in one order: where the first of them has no room, none of them has
    ready: dict[tuple[int, int], list[tuple[float, int, str]]] = {}

    def add(name: str) -> None:
        task = by_name[name]
        asked = min(task.gpus, gpus), min(task.cores, cores)
        heapq.heappush(ready.setdefault(asked, []), (-behind[name], next(order), name))

    for name, needs in waiting.items():
        if not needs:
            add(name)
    running: list[tuple[float, int, str, tuple[int, int]]] = []
    ends: dict[str, float] = {}
    now, free = 0.0, (gpus, cores)
    while any(ready.values()) or running:
        while fitting := [
            asked for asked, heap in ready.items() if heap and asked[0] <= free[0] and asked[1] <= free[1]
        ]:
            asked = min(fitting, key=lambda each: ready[each][0])
            _, _, name = heapq.heappop(ready[asked])
            free = free[0] - asked[0], free[1] - asked[1]
            heapq.heappush(running, (now + by_name[name].seconds, next(order), name, asked))
        now, _, name, asked = heapq.heappop(running)
        ends[name] = now
        free = free[0] + asked[0], free[1] + asked[1]
        for follower in followers[name]:
            waiting[follower].discard(name)
            if not waiting[follower]:
                add(follower)
    chain = _chain(behind, followers)
    return Schedule(now, ends, chain, max(behind.values(), default=0.0))


def _longest_behind(tasks: Sequence[Task], followers: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Seconds from the beginning of every task to the end of the longest chain that waits for it."""
    behind: dict[str, float] = {}
    for task in reversed(tasks):
        behind[task.name] = task.seconds + max((behind[name] for name in followers[task.name]), default=0.0)
    return behind


def _chain(behind: Mapping[str, float], followers: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The tasks of the longest chain."""
    later = {name for names in followers.values() for name in names}
    next_ones: Sequence[str] = [name for name in behind if name not in later]
    chain = []
    while next_ones:
        chain.append(max(next_ones, key=lambda name: behind[name]))
        next_ones = followers[chain[-1]]
    return tuple(chain)
