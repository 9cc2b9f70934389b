"""The gradients of a global batch, computed in as many pieces as fit into memory.

The gradients of the pieces add up to the batch's: the global batch stays what it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vggrepro.nets.vgg import VGG
from vggrepro.training.loader import Batch
from vggrepro.training.objectives import Loss, Objective
from vggrepro.training.processes import ProcessGroup, without_exchange
from vggrepro.training.recorder import TrainingRecorder


def outputs_of(net: Callable[..., Tensor], images: Tensor, kept: Tensor | None, precision: str) -> Tensor:
    """The net's outputs [B, outputs], float32, of images [B, 3, crop, crop], computed in bf16 if `precision` says so."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return net(images, kept).float()


@dataclass
class Pieces:
    """In how many pieces a process computes its part of a global batch."""

    run: str
    """Name of the run, for messages."""
    batch: int
    """Images of a global batch, over all processes."""
    group: ProcessGroup
    count: int = 1

    @property
    def images(self) -> int:
        """The most images that a process computes at a time."""
        return -(-self.batch // (self.group.size * self.count))

    def increase(self) -> None:
        """Compute fewer images at a time, because memory was short, and say so."""
        before, self.count = self.images, min(2 * self.count, -(-self.batch // self.group.size))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.group.main:
            print(
                f"{self.run}: {before} images at a time do not fit into the GPU's memory: gradients "
                f"are added up over {self.count} pieces, the batch stays {self.batch}",
                file=sys.stderr,
                flush=True,
            )


def fit_into_memory(pieces: Pieces, net: VGG, precision: str) -> None:
    """Increase the number of pieces until a forward and a backward pass fit into memory, in every process.

    Raises ValueError where not even a single image fits.
    """
    weights = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
    # DistributedDataParallel comes later, and keeps room for all gradients that are exchanged
    later = 4 * weights if pieces.group.size > 1 else 0
    while pieces.group.any(not _fits(net, pieces.images, precision, later)):
        if pieces.images == 1:
            raise ValueError(f"{pieces.run}: not even one image at a time fits into the memory of {_device(net)}")
        pieces.increase()


def _fits(net: VGG, images: int, precision: str, later: int) -> bool:
    """Whether forward and backward pass of so many images fit into memory, beside so many bytes that are needed `later`."""
    crop, device = net.model.crop, _device(net)
    try:
        kept_free = torch.empty(later, dtype=torch.uint8, device=device)
        blank = torch.zeros(images, 3, crop, crop, device=device).to(memory_format=torch.channels_last)
        outputs_of(net, blank, net.dropout(images, 0, device), precision).sum().backward()  # type: ignore[no-untyped-call]
        del kept_free
    except torch.OutOfMemoryError:
        return False
    finally:
        net.zero_grad()
    return True


def _device(net: nn.Module) -> torch.device:
    return next(net.parameters()).device


class DropoutDraws:
    """What dropout leaves out, step after step. The draws follow from the seed and the step, so that a restart repeats them.

    They cost a CPU 10 to 25 ms at the paper's size: `ahead`, those of the next step are drawn while a GPU computes this one.
    """

    def __init__(self, net: VGG, seed: int, device: torch.device, *, ahead: bool) -> None:
        self._net, self._seed, self._device = net, seed, device
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[tuple[int, int], Future[Tensor | None]] | None = None

    def __call__(self, images: int, step: int) -> Tensor | None:
        """The factors [images, 2, fc] of a global batch in a step; None without dropout."""
        key, expected = (images, step), self._next
        # the last batch of an epoch may be smaller than was expected
        kept = expected[1].result() if expected and expected[0] == key else self._draw(*key)
        if self._thread:
            self._next = (images, step + 1), self._thread.submit(self._draw, images, step + 1)
        return kept

    def _draw(self, images: int, step: int) -> Tensor | None:
        return self._net.dropout(images, self._seed * 1_000_000_007 + step, self._device)


class Gradients:
    """Forward and backward passes of one training."""

    def __init__(
        self,
        net: VGG,
        wrapped: nn.Module,
        forward: Callable[..., Tensor],
        *,
        objective: Objective,
        precision: str,
        seed: int,
        pieces: Pieces,
        recorder: TrainingRecorder,
    ) -> None:
        """Leave gradients in the parameters of `net`.

        `wrapped` is the net that exchanges gradients between processes, `forward` the compiled form of it, or itself.
        """
        self.net, self.wrapped, self.forward, self.objective = net, wrapped, forward, objective
        self.precision, self.pieces, self.recorder = precision, pieces, recorder
        crop, self.device = net.model.crop, _device(net)
        self.memory = torch.empty(pieces.images, crop, crop, 3, device=self.device)
        """For the net's input, the same in every step."""
        self.dropout = DropoutDraws(net, seed, self.device, ahead=self.device.type == "cuda")

    def __call__(self, batch: Batch, iteration: int) -> Loss:
        """Leave the gradients of a global batch's mean loss in the net.

        Returns the loss of this process's part of the batch. Raises torch.OutOfMemoryError where memory is short, unless
        this process is alone and can compute fewer images at a time.
        """
        kept = self.dropout(batch.global_size, iteration)
        while True:
            try:
                losses = self._of_pieces(batch, kept)
                break
            except torch.OutOfMemoryError:
                # other processes wait for this one's gradients in the same step: it may not compute more pieces than they
                if self.pieces.group.size > 1 or self.pieces.images == 1:
                    raise
            self.pieces.increase()
        return Loss(*(torch.stack(parts).sum(0) for parts in zip(*losses, strict=True)))

    def _of_pieces(self, batch: Batch, kept: Tensor | None) -> list[Loss]:
        """The same in the present number of pieces: the loss of each."""
        self.net.zero_grad()
        self.recorder.begin_step()
        losses, pieces = [], batch.to(self.device).pieces(self.pieces.count)
        for number, piece in enumerate(pieces, start=1):
            with nullcontext() if number == len(pieces) else without_exchange(self.wrapped):
                own = None if kept is None else kept[piece.first : piece.first + len(piece.labels)]
                outputs = outputs_of(self.forward, piece.images(self.memory), own, self.precision)
                loss = self.objective.loss(outputs, piece)
                # a share of the global batch's mean; averaging over the processes divides by their number
                (loss.sum * (self.pieces.group.size / max(batch.counted, 1))).backward()  # type: ignore[no-untyped-call]
            losses.append(loss._replace(sum=loss.sum.detach()))
        return losses
