"""What an interrupted training goes on from: written now and then and when it is told to stop, read when it starts again.

A state is a folder `<iteration>/` with `weights.safetensors`, `momentum.safetensors` and `state.json`, which names the digests
of the two and everything else that the course of the training depends on. Nothing random needs to be kept: draws follow
from the seed, the epoch and the step. The two newest states stay; nothing in them is ever unpickled. The last one stays beyond
the end: whoever started the training may have died before hearing of it, and starts it again.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vggrepro.core.files import atomic_folder, file_digest, lock, read_json, write_json
from vggrepro.nets.weights import write_tensors
from vggrepro.training.files import FINISHED

CHECKPOINTS_KEPT = 2
SECONDS_BETWEEN_CHECKPOINTS = 600.0
"""Seconds between two states."""


class Checkpoints:
    """The states of one training in a folder of their own."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], every: float = SECONDS_BETWEEN_CHECKPOINTS) -> None:
        """`identity` is what a state has to have been made by to be gone on from: run, settings, data, parent."""
        self.folder, self.identity, self.every = folder, dict(identity), every
        self.last = time.monotonic()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block that one process at a time is in: a training that outlived whoever started it is waited for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            if not lock(file):
                said = f"{self.folder}: another process is at this very training: waiting for it to end"
                print(said, file=sys.stderr, flush=True)
                lock(file, wait=True)
            yield

    def due(self) -> bool:
        """Whether it is time for a state."""
        return time.monotonic() - self.last >= self.every

    def write(self, iteration: int, weights: dict[str, Tensor], momentum: dict[str, Tensor], about: Any) -> None:  # noqa: ANN401
        """Write a state atomically, unless there is one of this step, and forget all but the newest."""
        if (self.folder / f"{iteration:09d}" / "state.json").exists():
            return
        # all that lies in this folder is ours: what a kill left of an older state is cleared away
        shutil.rmtree(self.folder / f"{iteration:09d}", ignore_errors=True)
        with atomic_folder(self.folder / f"{iteration:09d}", "state.json") as root:
            for name, tensors in (("weights", weights), ("momentum", momentum)):
                write_tensors(root / f"{name}.safetensors", tensors)
            files = {file.name: file_digest(file) for file in sorted(root.iterdir())}
            write_json(root / "state.json", {"identity": self.identity, "files": files, "about": about})
        for old in self._found()[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
        self.last = time.monotonic()

    def read(self) -> tuple[dict[str, Tensor], dict[str, Tensor], Any] | None:
        """Weights, momentum and what was said beside them, of the newest state that is whole; None where there is none.

        A damaged state is passed over with a message; what a kill left half-written is cleared away. Raises ValueError for a
        state of another identity, which names what differs.
        """
        for half in self.folder.glob(".[0-9]*"):
            shutil.rmtree(half)
        for folder in reversed(self._found()):
            try:
                said = read_json(folder / "state.json", ("identity", "files", "about"))
                for name, expected in said["files"].items():
                    if file_digest(folder / name) != expected:
                        raise ValueError(f"{folder / name}: not the bytes that were written")
                weights, momentum = (load_file(folder / f"{name}.safetensors") for name in ("weights", "momentum"))
            except (ValueError, OSError, SafetensorError) as error:
                print(f"a damaged state is passed over: {error}", file=sys.stderr, flush=True)
                shutil.rmtree(folder)
                continue
            if differs := list(_differences(said["identity"], self.identity)):
                if (self.folder / FINISHED).exists():
                    self._clear()
                    return None
                raise ValueError(
                    f"{folder}: the state of an unfinished training that differs from this one in {'; '.join(differs)}. Go on "
                    f"with its settings, or delete {self.folder} to train anew"
                )
            return weights, momentum, said["about"]
        return None

    def finish(self) -> None:
        """The training is finished, its results are written: the newest state stays until other settings want its place."""
        for old in self._found()[:-1]:
            shutil.rmtree(old)
        (self.folder / FINISHED).touch()

    def _clear(self) -> None:
        """Remove the state of a finished training of other settings."""
        (self.folder / FINISHED).unlink()
        for old in self._found():
            shutil.rmtree(old)

    def _found(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:  # noqa: ANN401
    """`train.batch: 16, now 32` for every value that differs in two nested dictionaries."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield f"{where}: {old}, now {new}"
