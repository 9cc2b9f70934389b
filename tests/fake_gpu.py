"""A GPU that computes nothing: torch's FakeTensorMode knows of every tensor its shape, type and device, and has no values.

Operations on tensors of two devices fail as on a GPU. What reads a value gets 1; backward leaves gradients without values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from vggrepro.training import gradients, optimiser

CUDA = torch.device("cuda", 0)


@contextmanager
def fake_gpu() -> Iterator[None]:
    """All tensors that are made in this block are fake, on `cuda:0` where they are asked to be there."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        without_values(patch)
        patch.setattr(FakeTensor, "numpy", _numpy, raising=False)
        patch.setattr(torch.Tensor, "backward", _backward)
        patch.setattr(torch.Tensor, "tolist", lambda tensor: np.ones(tuple(tensor.shape)).tolist())
        patch.setattr(torch.nn.Module, "_apply", _apply)
        without_fused_kernels(patch)
        # what is asked of a driver
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(torch.cuda, "get_device_name", lambda device: "a fake GPU")
        # a mode of torch holds in one thread
        patch.setattr(gradients, "ThreadPoolExecutor", _AtOnce)
        yield


def without_values(patch: pytest.MonkeyPatch) -> None:
    """Numbers that are read from tensors without values are 1."""
    for name, one in {"__float__": 1.0, "__int__": 1, "__bool__": True, "item": 1.0}.items():
        original = getattr(torch.Tensor, name)

        def read(self: torch.Tensor, one: Any = one, original: Callable[..., Any] = original) -> Any:
            try:
                return original(self)
            except (DataDependentOutputException, RuntimeError):
                return one

        patch.setattr(torch.Tensor, name, read)


def meta_on_cpu(patch: pytest.MonkeyPatch) -> None:
    """A tensor of the meta device can be copied to the CPU, as zeros."""
    original = torch.Tensor.cpu
    patch.setattr(torch.Tensor, "cpu", lambda t: torch.zeros_like(t, device="cpu") if t.is_meta else original(t))


def without_fused_kernels(patch: pytest.MonkeyPatch) -> None:
    """Torch says of its plain update, not of its fused one, what shapes and devices it needs."""
    plain = optimiser.sgd
    patch.setattr(optimiser, "sgd", lambda *tensors, fused, **more: plain(*tensors, foreach=False, **more))


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _backward(loss: torch.Tensor) -> None:
    """Give every parameter that the loss depends on a gradient of its own shape, added to the one that it has."""
    waiting, seen = [loss.grad_fn], set()
    assert loss.grad_fn is not None, "a loss without a graph"
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        variable = getattr(node, "variable", None)
        if variable is not None:
            gradient = torch.empty_like(variable)
            variable.grad = gradient if variable.grad is None else variable.grad + gradient


def _apply(module: torch.nn.Module, change: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
    """Torch's own moves the content of a fake parameter, which the mode forbids because it remembers it."""
    for child in module.children():
        _apply(child, change)
    for name, weight in module._parameters.items():
        module._parameters[name] = torch.nn.Parameter(change(weight.detach()), weight.requires_grad)
    return module


class _AtOnce:
    """A pool of threads without threads."""

    def __init__(self, workers: int) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future
