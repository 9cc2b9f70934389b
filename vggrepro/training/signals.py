"""How a training is told to stop, and how it obeys: between two steps, once its checkpoint is kept. No torch."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TORCHRUN_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
"""What torchrun hands on to the processes of a training, which then keep a checkpoint and end."""


class Stopped(SystemExit):
    """A training was told to stop, and its state is kept."""


MOMENT = 3.0
"""Seconds between the first and the last process of a training being told to stop, at most."""


class Signals:
    """Whether the process was told to stop (SIGTERM, SIGUSR1 before a time limit, Ctrl-C)."""

    NAMES = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self) -> None:
        self.received: int | None = None
        self.patient = False
        """Whether a signal only leaves a note: the work in hand ends by itself within seconds."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals in this block; the handlers from before come back after it."""
        before = {number: signal.signal(number, self._handle) for number in self.NAMES}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def obey(self) -> None:
        """Stop if the process was told to."""
        if self.received is not None:
            raise Stopped(128 + self.received)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which an exchange with other processes may fail because one was told to stop, and left between two steps.

        So is this one, now or in a moment, and stops as if it had been asked there.
        """
        try:
            yield
        except RuntimeError:
            told = time.monotonic()
            while self.received is None and time.monotonic() - told < MOMENT:
                time.sleep(0.1)
            self.obey()
            raise

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not self.patient:
            raise Stopped(128 + number)
