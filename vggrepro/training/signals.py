"""How a training is told to stop, and how it obeys: between two steps, once a checkpoint is written. No torch."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

TORCHRUN_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
"""What torchrun hands on to the processes of a training, which then keep a checkpoint and end."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""End of a job, warning before its time limit, Ctrl-C."""

GRACE = 3.0
"""Seconds between the first and the last process of a training being told to stop, at most."""


class Stopped(SystemExit):
    """A training was told to stop, and its checkpoint is written. The exit code is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class Signals:
    """Whether this process was told to stop, and whether it may stop at once."""

    def __init__(self, numbers: Sequence[signal.Signals] = STOP_SIGNALS, grace: float = 0.0) -> None:
        """Listen to the signals `numbers`.

        Where an exchange between processes breaks, wait `grace` seconds for a signal: another process may have been told
        to stop earlier than this one.
        """
        self.numbers, self.grace = numbers, grace
        self.received: int | None = None
        self._may_stop = True

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Listen in this block; the handlers from before come back after it. Raises `Stopped` where a signal comes."""
        handlers = {number: signal.signal(number, self._handle) for number in self.numbers}
        try:
            yield
        except RuntimeError:
            self._wait()
            raise
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which a signal is only noted in `received`; a block that ends well then raises `Stopped`."""
        self._may_stop = False
        try:
            yield
        finally:
            self._may_stop = True
        self._obey()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self._may_stop:
            raise Stopped(number)

    def _obey(self) -> None:
        if self.received is not None:
            raise Stopped(self.received)

    def _wait(self) -> None:
        """Obey a signal that has come, or comes within the grace."""
        self._obey()
        end = time.monotonic() + self.grace
        # the handler raises `Stopped`; a signal that another thread gets does not end a sleep
        while time.monotonic() < end:
            time.sleep(min(0.1, self.grace))
