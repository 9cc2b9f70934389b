"""When every step begins and ends on so many GPUs and cores, and the chain of steps that takes longest."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class PendingStep:
    """A step that is still to be made, as a scheduler sees it."""

    name: str
    needs: tuple[str, ...]
    """Of the other steps; what is made already is waited for by nobody."""
    seconds: float
    gpus: int
    cores: int


@dataclass(frozen=True)
class Timeline:
    """When steps end: of those that are ready, the one with the longest chain behind it begins first."""

    seconds: float
    """Until the last step has ended."""
    ends: Mapping[str, float]
    chain: tuple[str, ...]
    """The steps of the critical path, in order."""
    chain_seconds: float
    """What no number of machines makes shorter."""


Demand = tuple[int, int]
"""GPUs and cores that a step asks for."""


class _ReadySteps:
    """Steps whose needs have ended: a heap for each demand, the longest chain first.

    Steps of the same demand begin in one order: where the first of them has no room, none of them has.
    """

    def __init__(self, chains: Mapping[str, float]) -> None:
        self.chains, self.order = chains, count()
        self.heaps: dict[Demand, list[tuple[float, int, str]]] = {}

    def __bool__(self) -> bool:
        return any(self.heaps.values())

    def add(self, name: str, demand: Demand) -> None:
        """Add a step."""
        heapq.heappush(self.heaps.setdefault(demand, []), (-self.chains[name], next(self.order), name))

    def take(self, free: Demand) -> tuple[str, Demand] | None:
        """Remove the step that begins next on what is free; None where no step has room."""
        fitting = [
            demand for demand, heap in self.heaps.items() if heap and demand[0] <= free[0] and demand[1] <= free[1]
        ]
        if not fitting:
            return None
        demand = min(fitting, key=lambda each: self.heaps[each][0])
        return heapq.heappop(self.heaps[demand])[2], demand


def schedule_steps(steps: Sequence[PendingStep], *, gpus: int, cores: int) -> Timeline:
    """Put steps, each after those that it needs, on so many GPUs and cores.

    A step that asks for more than there is gets all of it.
    """
    by_name = {step.name: step for step in steps}
    demands = {step.name: (min(step.gpus, gpus), min(step.cores, cores)) for step in steps}
    waiting = {step.name: {need for need in step.needs if need in by_name} for step in steps}
    followers: dict[str, list[str]] = {name: [] for name in by_name}
    for name, needs in waiting.items():
        for need in needs:
            followers[need].append(name)
    chains = _longest_behind(steps, followers)
    ready, order = _ReadySteps(chains), count()
    for name, needs in waiting.items():
        if not needs:
            ready.add(name, demands[name])
    running: list[tuple[float, int, str]] = []
    ends: dict[str, float] = {}
    now, free = 0.0, (gpus, cores)
    while ready or running:
        while taken := ready.take(free):
            name, demand = taken
            free = free[0] - demand[0], free[1] - demand[1]
            heapq.heappush(running, (now + by_name[name].seconds, next(order), name))
        now, _, name = heapq.heappop(running)
        ends[name] = now
        free = free[0] + demands[name][0], free[1] + demands[name][1]
        for follower in followers[name]:
            waiting[follower].discard(name)
            if not waiting[follower]:
                ready.add(follower, demands[follower])
    return Timeline(now, ends, _chain(chains, followers), max(chains.values(), default=0.0))


def _longest_behind(steps: Sequence[PendingStep], followers: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Seconds from the beginning of every step to the end of the longest chain that waits for it."""
    behind: dict[str, float] = {}
    for step in reversed(steps):
        behind[step.name] = step.seconds + max((behind[name] for name in followers[step.name]), default=0.0)
    return behind


def _chain(behind: Mapping[str, float], followers: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The steps of the longest chain."""
    later = {name for names in followers.values() for name in names}
    next_ones: Sequence[str] = [name for name in behind if name not in later]
    chain = []
    while next_ones:
        chain.append(max(next_ones, key=lambda name: behind[name]))
        next_ones = followers[chain[-1]]
    return tuple(chain)
