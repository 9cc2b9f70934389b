"""The first steps of a training in numbers, so that others can take these steps again: `vggrepro check --recompute`.

A record of settings and counts cannot tell a net that was trained otherwise: these numbers can, because every pixel, every
draw and every weight enters them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FIRST_STEPS = 4
"""Steps of the first epoch that are kept: the second is the first in which momentum takes part."""


def copied_weights(net: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter by its name, on the CPU: a GPU's memory is the net's."""
    return {name: weight.detach().cpu().clone() for name, weight in net.named_parameters()}


def step_numbers(net: nn.Module, before: dict[str, Tensor], loss: float) -> dict[str, Any]:
    """A step in numbers, for JSON; call it after the step, while the gradients are still there.

    The mean loss of the global batch before the step, and by the name of each parameter three norms: of its gradient, of its
    value after the step, and of its change in the step (`before` is from `copied_weights`). A frozen one has a gradient of 0.
    """
    norms = {
        name: [
            0.0 if weight.grad is None else _norm(weight.grad),
            _norm(weight.detach()),
            _norm(weight.detach().cpu() - before[name]),
        ]
        for name, weight in net.named_parameters()
    }
    return {"loss": loss, "norms": norms}


def _norm(values: Tensor) -> float:
    """The Euclidean norm, summed in float64 without a copy in float64."""
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))
