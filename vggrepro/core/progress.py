"""Long work: done ahead in threads, and shown as it goes. No torch."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

_T = TypeVar("_T")
_U = TypeVar("_U")

SECONDS_BETWEEN_LINES = 60.0
"""Seconds between two lines of progress in a log."""


def prefetch(function: Callable[[_T], _U], items: Iterable[_T], *, workers: int, waiting: int) -> Iterator[_U]:
    """`map` in order, up to `waiting` results made by `workers` threads before they are asked for; 0 workers: no threads."""
    if workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        made: deque[Future[_U]] = deque()
        for item in items:
            made.append(pool.submit(function, item))
            if len(made) > max(waiting, workers):
                yield made.popleft().result()
        while made:
            yield made.popleft().result()


def show_progress(items: Iterable[_T], *, total: int, about: str, unit: str) -> Iterator[_T]:
    """The items as they are; a bar with the time to go in a terminal, a plain line a minute in a log.

    Of the processes that torchrun started, the first one speaks.
    """
    if os.environ.get("RANK", "0") != "0":
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=about, unit=unit, leave=False)
        return
    started = told = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - told >= SECONDS_BETWEEN_LINES and done < total:
            told, passed = now, now - started
            left = passed / done * (total - done)
            print(f"{about}: {done:,} of {total:,} {unit}s, {left / 60:.0f} min to go", file=sys.stderr, flush=True)


class Complaints:
    """Messages about many small things: the first few are printed, the others counted."""

    FIRST = 10

    def __init__(self) -> None:
        self.count = 0

    def add(self, said: str) -> None:
        """Print a message, unless there were enough."""
        self.count += 1
        if self.count <= self.FIRST:
            print(said, file=sys.stderr)

    def end(self) -> None:
        """Say how many were not printed."""
        if self.count > self.FIRST:
            print(f"... and {self.count - self.FIRST:,} more like these", file=sys.stderr)
