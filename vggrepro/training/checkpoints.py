"""What an interrupted training goes on from: written now and then and when it is told to stop, read when it starts again.

A checkpoint is a folder `<iteration>/` with `weights.safetensors`, `momentum.safetensors`, `state.json` with all else that the
training depends on, and their checksums. Nothing random needs to be kept: draws follow from the seed, the epoch and the step.
The two newest checkpoints stay; nothing in them is ever unpickled. The last one stays beyond the end: whoever started the
training may have died before hearing of it, and starts it again.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vggrepro.core.files import atomic_folder, lock, write_json
from vggrepro.core.records import CheckpointRecord, typed_record
from vggrepro.nets.weights import read_tensors, write_tensors
from vggrepro.training.files import FINISHED
from vggrepro.training.processes import ALONE, ProcessGroup

CHECKPOINTS_KEPT = 2
SECONDS_BETWEEN_CHECKPOINTS = 600.0
STATE = "state.json"


class Checkpoint(NamedTuple):
    """What a training goes on from."""

    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    progress: Any
    """For JSON."""


class Checkpoints:
    """The checkpoints of one training in a folder of their own. Only the main process reads and writes them."""

    def __init__(
        self,
        folder: Path | None,
        identity: Mapping[str, Any],
        *,
        every: float = SECONDS_BETWEEN_CHECKPOINTS,
        group: ProcessGroup = ALONE,
    ) -> None:
        """A checkpoint every so many seconds in `folder`; without a folder none is kept, and nothing is read.

        `identity` holds the run, settings, data and initial weights: a checkpoint of others is refused.
        """
        self.folder, self.identity, self.every, self.group = folder, dict(identity), every, group
        self._here = folder if group.main else None
        self._last = time.monotonic()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A block that one training at a time is in: one that outlived whoever started it is waited for."""
        if self._here is None:
            yield
            return
        self._here.mkdir(parents=True, exist_ok=True)
        with (self._here / "lock").open("w") as file:
            if not lock(file):
                message = f"{self._here}: another process is at this very training: waiting for it to end"
                print(message, file=sys.stderr, flush=True)
                lock(file, wait=True)
            yield

    def due(self) -> bool:
        """Whether it is time for a checkpoint, in any process. Every process has to ask."""
        return self.folder is not None and self.group.any(time.monotonic() - self._last >= self.every)

    def write(self, iteration: int, checkpoint: Checkpoint) -> None:
        """Write a checkpoint atomically, unless there is one of this step, and remove all but the newest.

        Raises OSError where the disk is full.
        """
        if self._here is not None and not (self._here / f"{iteration:09d}" / STATE).exists():
            self._write(self._here / f"{iteration:09d}", checkpoint)
            for old in self._folders()[:-CHECKPOINTS_KEPT]:
                shutil.rmtree(old)
        self._last = time.monotonic()
        self.group.wait()

    def _write(self, folder: Path, checkpoint: Checkpoint) -> None:
        # everything in this folder is ours: what a kill left of an older checkpoint is cleared away
        shutil.rmtree(folder, ignore_errors=True)
        with atomic_folder(folder, STATE) as root:
            write_tensors(root / "weights.safetensors", checkpoint.weights)
            write_tensors(root / "momentum.safetensors", checkpoint.momentum)
            write_json(root / STATE, {"identity": self.identity, "about": checkpoint.progress})

    def read(self) -> Checkpoint | None:
        """The newest whole checkpoint; None where there is none, and in all processes but the main one.

        A damaged checkpoint is passed over with a message; what a kill left half-written is cleared away. Raises ValueError
        for a checkpoint of another identity, which names what differs.
        """
        if self._here is None:
            return None
        for half_written in self._here.glob(".[0-9]*"):
            shutil.rmtree(half_written)
        for folder in reversed(self._folders()):
            try:
                checkpoint, identity = read_checkpoint(folder)
            except ValueError as error:
                print(f"a damaged checkpoint is passed over: {error}", file=sys.stderr, flush=True)
                shutil.rmtree(folder)
                continue
            differences = list(_differences(decisive(identity), decisive(self.identity)))
            if not differences:
                return checkpoint
            if (self._here / FINISHED).exists():
                self._clear()
                return None
            raise ValueError(
                f"{folder}: the checkpoint of an unfinished training that differs from this one in {'; '.join(differences)}. "
                f"Go on with its settings, or delete {self._here} to train anew"
            )
        return None

    def finish(self) -> None:
        """The results are written: the newest checkpoint stays until a training of other settings wants its place."""
        if self._here is not None:
            for old in self._folders()[:-1]:
                shutil.rmtree(old)
            (self._here / FINISHED).touch()

    def _clear(self) -> None:
        """Remove the checkpoints of a finished training of other settings."""
        if self._here is not None:
            (self._here / FINISHED).unlink()
            for old in self._folders():
                shutil.rmtree(old)

    def _folders(self) -> list[Path]:
        """The folders of whole checkpoints, oldest first."""
        return sorted(path for path in self._here.glob("[0-9]*") if path.is_dir()) if self._here else []


def read_checkpoint(folder: Path) -> tuple[Checkpoint, Any]:
    """A checkpoint, and the identity of the training that wrote it; a ValueError where it is damaged."""
    state = typed_record(folder / STATE, kind=CheckpointRecord)
    weights, momentum = (read_tensors(folder / f"{name}.safetensors")[0] for name in ("weights", "momentum"))
    return Checkpoint(weights, momentum, state["about"]), state["identity"]


def decisive(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without the one setting that decides no weight: when a training that learns nothing is given up."""
    settings = identity.get("settings", {})
    train = {name: value for name, value in settings.get("train", {}).items() if name != "stuck_epochs"}
    return {**identity, "settings": {**settings, "train": train}}


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:  # noqa: ANN401
    """`train.batch: 16, now 32` for every value that differs in two nested dictionaries."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield f"{where}: {old}, now {new}"
