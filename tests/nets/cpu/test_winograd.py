"""Winograd's convolutions give what torch's give, whatever the size, and round hardly worse."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggrepro.nets.cpu.winograd import GROUP, Winograd, _in_threads


def convolution(channels: int, outputs: int) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def exact(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The layer and ReLU in float64, rounded: torch's own in float32 round as the CPU and its libraries have it."""
    return copy.deepcopy(layer).double()(x.double()).relu().float()


@pytest.fixture(params=[1, 2, 3])
def threads(request) -> Iterator[int]:
    """So many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3), (7, 16), (33, 50), (9, 900)])
@pytest.mark.parametrize("images", [1, 2, 70])
def test_winograd_is_a_convolution_whatever_the_size(size, images, pooled, threads):
    """Sizes that tiles of 4x4 fit and do not fit; fewer tiles than threads, and more than a group has."""
    if images * size[0] * size[1] > 100_000:
        images = 3
    layer = convolution(3, 5)
    x = torch.randn(images, 3, *size).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        outputs, expected = Winograd(layer, pooled=pooled)(x), exact(layer, x)
        if pooled and min(size) > 1:
            expected = F.max_pool2d(expected, 2, 2)
        elif pooled:
            expected = expected[:, :, :0, :0]
    assert outputs.shape == expected.shape
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=2e-5)
    assert torch.get_num_threads() == threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == threads, "a thread that starts later has another number"


@pytest.mark.parametrize("pooled", [False, True])
def test_winograd_takes_images_in_any_memory_and_keeps_a_nan(pooled):
    layer, x = convolution(3, 5), torch.randn(2, 3, 4 * GROUP.stop, 6)
    x[0, 1, 2, 3] = torch.nan
    with torch.inference_mode():
        outputs, expected = Winograd(layer, pooled=pooled)(x), exact(layer, x)
    expected = F.max_pool2d(expected, 2, 2) if pooled else expected
    assert outputs[expected.isnan()].isnan().all()
    # the NaN spreads to its own and the neighbouring tiles, no further
    torch.testing.assert_close(outputs[:, :, 9:], expected[:, :, 9:], rtol=1e-4, atol=2e-5)


def test_winograd_of_no_image_is_no_image():
    assert Winograd(convolution(3, 5))(torch.empty(0, 3, 8, 8)).shape == (0, 5, 8, 8)


def test_an_error_in_a_thread_is_raised_after_all_have_ended(threads):
    ended = []

    def work() -> None:
        ended.append(torch.get_num_threads())
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        _in_threads(threads, work)
    assert ended == [1] * threads
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("channels", [64, 512])
def test_winograd_rounds_no_worse_than_twice_a_plain_convolution(channels):
    """Against float64, on what a layer sees: values that are not negative."""
    layer, x = convolution(channels, 128), torch.randn(2, channels, 30, 41).relu()
    with torch.inference_mode():
        exact = F.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1).relu()
        error, usual = ((outputs - exact).square().mean().sqrt() for outputs in (Winograd(layer)(x), layer(x).relu()))
    assert error < max(2 * usual, 2e-6 * exact.std())
