"""Prefetching keeps the order of items, and warnings are limited in number."""

from __future__ import annotations

import threading

import pytest

from vggrepro.core import progress
from vggrepro.core.progress import RepeatedWarnings, Waits, prefetch, show_progress


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetched_results_come_in_order(workers):
    assert list(prefetch(lambda n: n * n, range(20), workers=workers, waiting=5)) == [n * n for n in range(20)]


def test_no_more_than_the_waiting_results_are_computed_in_advance():
    started = threading.Semaphore(0)

    def count(n: int) -> int:
        started.release()
        return n

    results = prefetch(count, range(100), workers=2, waiting=4)
    next(results)
    for _ in range(5):
        assert started.acquire(timeout=10)
    assert not started.acquire(timeout=0.2)


def test_an_error_in_a_worker_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda n: 1 // n, [1, 0, 1], workers=2, waiting=2))


def test_progress_passes_all_items_on(capsys):
    assert list(show_progress(range(3), total=3, about="x", unit="item")) == [0, 1, 2]


def test_the_first_ten_warnings_are_printed_and_the_others_counted(capsys):
    warnings = RepeatedWarnings()
    for number in range(12):
        warnings.add(f"warning {number}")
    warnings.end()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"warning {number}" for number in range(10)] + ["... and 2 more like these"]


def test_what_is_waited_for_is_counted_and_what_is_done_with_it_is_not(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])

    def slow():
        for number in range(3):
            clock[0] += 1
            yield number

    waits = Waits(slow())
    for _ in waits:
        clock[0] += 10
    assert waits.seconds == 3
