"""Long work: prefetched in threads, with its progress and its many warnings shown. No torch."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from tqdm import tqdm

_T = TypeVar("_T")
_U = TypeVar("_U")

SECONDS_BETWEEN_LINES = 60.0
"""Seconds between two lines of progress in a log."""


def prefetch(function: Callable[[_T], _U], items: Iterable[_T], *, workers: int, waiting: int) -> Iterator[_U]:
    """`map` in order, with up to `waiting` results computed in advance by `workers` threads; 0 workers: without threads."""
    if workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[_U]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > max(waiting, workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class Waits(Generic[_T]):
    """The items, unchanged; `seconds` is how long they were waited for until now."""

    def __init__(self, items: Iterable[_T]) -> None:
        self._items, self.seconds = items, 0.0

    def __iter__(self) -> Iterator[_T]:
        items, started = iter(self._items), time.perf_counter()
        for item in items:
            self.seconds += time.perf_counter() - started
            yield item
            started = time.perf_counter()


def show_progress(items: Iterable[_T], *, total: int, about: str, unit: str) -> Iterator[_T]:
    """The items, unchanged; a terminal shows a bar with the time left, a log gets a plain line a minute.

    Of the processes that torchrun started, only the first one prints.
    """
    if os.environ.get("RANK", "0") != "0":
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=about, unit=unit, leave=False)
        return
    started = printed = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - printed >= SECONDS_BETWEEN_LINES and done < total:
            printed, passed = now, now - started
            left = passed / done * (total - done)
            print(f"{about}: {done:,} of {total:,} {unit}s, {left / 60:.0f} min to go", file=sys.stderr, flush=True)


class RepeatedWarnings:
    """Warnings of one kind about many images: the first few are printed, the others counted."""

    FIRST = 10

    def __init__(self) -> None:
        self.count = 0

    def add(self, message: str) -> None:
        """Print a warning, unless enough were printed."""
        self.count += 1
        if self.count <= self.FIRST:
            print(message, file=sys.stderr)

    def end(self) -> None:
        """Print how many warnings were only counted."""
        if self.count > self.FIRST:
            print(f"... and {self.count - self.FIRST:,} more like these", file=sys.stderr)
