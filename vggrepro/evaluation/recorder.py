"""What a net was shown to be tested, and in which arithmetic: measured on the net, not read off settings.

`judging` holds the record against the protocol of the paper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vggrepro.nets.vgg import VGG


def distinct(*values: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The different values, in the order of their first appearance."""
    return tuple(dict.fromkeys(values))


def precision_of(outputs: Tensor) -> str:
    """The arithmetic that outputs come from: bf16, fp32, or tf32 where a GPU was allowed to shorten fp32's mantissa."""
    if outputs.dtype is not torch.float32:
        return {torch.bfloat16: "bf16"}.get(outputs.dtype, str(outputs.dtype))
    tf32_allowed = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    return "tf32" if outputs.is_cuda and tf32_allowed else "fp32"


@dataclass
class InputRecord:
    """What a net was shown to be tested."""

    views: Counter[int] = field(default_factory=Counter)
    """How many views had their smallest side of so many pixels."""
    mirrored: bool = False
    """Whether the first batch held the mirror image of every one of its views."""
    pixels: tuple[float, ...] = ()
    """Lowest and highest value in the first batch."""
    precision: tuple[str, ...] = ()
    """Arithmetic of the features: see `precision_of`."""

    def as_json(self, scales: Sequence[int]) -> dict[str, Any]:
        """For `made.json`, with the test scales Q that were tested together."""
        views = {str(side): count for side, count in sorted(self.views.items())}
        return asdict(self) | {"views": views, "scales": list(scales)}


@contextmanager
def record_inputs(net: VGG) -> Iterator[InputRecord]:
    """Record everything that goes into the net's first layer while the block runs."""
    record = InputRecord()

    def look(module: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> None:
        images = inputs[0]
        if not record.views:
            record.mirrored = _mirrored(images)
            record.pixels = (round(float(images.min()), 1), round(float(images.max()), 1))
        record.views[min(images.shape[-2:])] += len(images)
        record.precision = distinct(*record.precision, precision_of(outputs))

    handle = net.features.register_forward_hook(look)
    try:
        yield record
    finally:
        handle.remove()


def _mirrored(images: Tensor) -> bool:
    """Whether the mirror image of every image of a batch [B, 3, H, W] is in the batch too."""
    contents, of_mirrored = ({view.tobytes() for view in each.cpu().numpy()} for each in (images, images.flip(-1)))
    return of_mirrored <= contents
