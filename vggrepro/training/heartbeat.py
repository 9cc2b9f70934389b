"""How far a training is, in a file beside its checkpoints: `vggrepro status` reads it from any node, also after a kill."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vggrepro.core.files import write_json
from vggrepro.training.files import HEARTBEAT
from vggrepro.training.progress import TrainingProgress

SECONDS_BETWEEN_BEATS = 10.0


class Heartbeat:
    """The sign of life that a training's main process writes; without a folder it writes nothing."""

    def __init__(self, folder: Path | None, about: Mapping[str, Any]) -> None:
        """`about`: what does not change: the run, its epochs, the device."""
        self._file = folder / HEARTBEAT if folder else None
        self._about = {**about, "host": socket.gethostname(), "pid": os.getpid()}
        self._last = -math.inf

    def beat(self, progress: TrainingProgress, batches: int) -> None:
        """Write how far the training is, of `batches` in the epoch, every few seconds.

        Reading the loss waits for a GPU, which so few times costs nothing. A full disk is the next checkpoint's matter.
        """
        moment = time.monotonic()
        if self._file is None or moment - self._last < SECONDS_BETWEEN_BEATS:
            return
        self._last, epoch = moment, progress.epoch
        loss, _, counted = epoch.sums.tolist()
        values = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "epoch": epoch.epoch,
            "batches": epoch.batches,
            "of": batches,
            "loss": loss / counted if counted else progress.rows[-1]["loss"] if progress.rows else None,
            "images_per_s": epoch.seen / epoch.seconds if epoch.seconds else None,
        }
        with suppress(OSError):
            write_json(self._file, self._about | values)
