"""A net made ready to be tested says what the net says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vggrepro.evaluation.recorder import record_inputs
from vggrepro.nets import inference
from vggrepro.nets.cpu.winograd import TILES, Winograd, _in_threads
from vggrepro.nets.inference import OneDNNLinear, ready_for_inference
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings, NetSettings


def convolution(channels: int, outputs: int, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    made = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.kaiming_normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


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
        found, expected = Winograd(layer, pooled=pooled)(x), layer(x).relu()
        if pooled and min(size) > 1:
            expected = F.max_pool2d(expected, 2, 2)
        elif pooled:
            expected = expected[:, :, :0, :0]
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    with torch.inference_mode():
        rounded = Winograd(layer, pooled=pooled, half=True)(x)
    torch.testing.assert_close(rounded, expected, rtol=0.05, atol=0.1)
    assert torch.get_num_threads() == threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == threads, "threads that come later have lost theirs"


@pytest.mark.parametrize(("half", "apart"), [(False, 2e-5), (True, 0.1)])
@pytest.mark.parametrize("pooled", [False, True])
def test_winograd_takes_images_in_any_memory_and_keeps_a_nan(pooled, half, apart):
    layer, x = convolution(3, 5), torch.randn(2, 3, 4 * TILES.stop, 6)
    x[0, 1, 2, 3] = torch.nan
    with torch.inference_mode():
        found, expected = Winograd(layer, pooled=pooled, half=half)(x), layer(x).relu()
    expected = F.max_pool2d(expected, 2, 2) if pooled else expected
    # a tile and its neighbours, not what lies further away
    assert found[expected.isnan()].isnan().all()
    torch.testing.assert_close(found[:, :, 9:], expected[:, :, 9:], rtol=5 * apart, atol=apart)


def test_winograd_of_no_image_is_none():
    assert Winograd(convolution(3, 5))(torch.empty(0, 3, 8, 8)).shape == (0, 5, 8, 8)


def test_what_fails_in_a_thread_is_told_when_all_have_ended(threads):
    ended = []

    def work() -> None:
        ended.append(torch.get_num_threads())
        raise RuntimeError("of memory there is none")

    with pytest.raises(RuntimeError, match="of memory there is none"):
        _in_threads(threads, work)
    assert ended == [1] * threads
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("channels", [64, 512])
def test_winograd_rounds_no_worse_than_twice_a_plain_convolution(channels):
    """Against float64, on what a layer sees: values that are not negative."""
    layer, x = convolution(channels, 128), torch.randn(2, channels, 30, 41).relu()
    with torch.inference_mode():
        exact = F.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1).relu()
        by_tiles, by_sums, half = Winograd(layer)(x), layer(x).relu(), Winograd(layer, half=True)(x)
        error, usual = ((found - exact).square().mean().sqrt() for found in (by_tiles, by_sums))
    assert error < max(2 * usual, 2e-6 * exact.std())
    with torch.inference_mode():
        usual = (layer.bfloat16()(x.bfloat16()).relu() - exact).square().mean().sqrt()
        error = (half - exact).square().mean().sqrt()
    assert error < 1.8 * usual


@pytest.fixture(scope="module", params=["A-LRN", "B-5x5", "C", "D", "D, ceil"])
def wide(request) -> VGG:
    """A net of the paper's widths on images an eighth as large, with few FC units."""
    net, _, pooling = request.param.partition(", ")
    made = VGG(net, 10, NetSettings(scale_unit=8, width=64, fc=32, pooling=pooling or "floor")).eval()
    initialise_randomly(made, "he", seed=0)
    return made


@torch.inference_mode()
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_its_posteriors_are_the_nets(wide, precision):
    # larger ones would saturate the soft-max of a random net, and hide differences
    torch.manual_seed(0)
    x = torch.randn(2, 3, 59, 77)
    made = ready_for_inference(wide, EvaluateSettings(precision=precision))
    assert wide.scores(x).softmax(1).max() < 0.9
    swapped = [name for name, layer in made.features.named_children() if isinstance(layer, Winograd)]
    assert bool(swapped) == (wide.net != "B-5x5")
    assert "conv1_1" not in swapped
    torch.testing.assert_close(made.scores(x).softmax(1), wide.scores(x).softmax(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(made.score_map(x), wide.score_map(x), rtol=1e-4, atol=1e-4)
    crop = x[:, :, :56, :56]
    torch.testing.assert_close(made(crop).softmax(1), wide(crop).softmax(1), rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("amx", [False, True])
def test_bf16_by_winograd_rounds_little_more_than_bf16(wide, amx, monkeypatch):
    """Winograd's convolutions, unless the CPU multiplies matrices of bf16; all else is bf16, too."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})
    torch.manual_seed(0)
    made, x = ready_for_inference(wide, EvaluateSettings(precision="bf16")), torch.randn(2, 3, 59, 77)
    swapped = [name for name, layer in made.features.named_children() if isinstance(layer, Winograd)]
    assert bool(swapped) == (wide.net != "B-5x5" and not amx)
    assert {parameter.dtype for parameter in made.parameters()} == {torch.bfloat16}
    exact, scores = wide.features(x), wide.scores(x)
    with record_inputs(made) as seen, torch.autocast("cpu", torch.bfloat16):
        error, usual = ((net.features(x) - exact).square().mean().sqrt() for net in (made, wide))
        torch.testing.assert_close(made.scores(x).float(), scores, rtol=0.05, atol=0.05)
    assert error < (1.6 if swapped else 1.2) * usual
    assert seen.precision == ("bf16",), "what is recorded is what was asked for"


@torch.inference_mode()
@pytest.mark.parametrize(("precision", "apart"), [("fp32", 1e-5), ("bf16", 0.02)])
@pytest.mark.parametrize("at_once", [1, 2, 5, 9])
def test_a_batch_taken_in_parts_is_the_batch(wide, precision, apart, at_once, monkeypatch):
    """In parts that fit it and that do not; shown in one piece to who watches it."""
    torch.manual_seed(0)
    x, shown = torch.randn(5, 3, 56, 64).to(memory_format=torch.channels_last), []
    made = ready_for_inference(wide, EvaluateSettings(precision=precision))
    with record_inputs(made) as seen, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = made.features(x)
        next(iter(made.features)).register_forward_hook(lambda layer, given, found: shown.append(len(given[0])))
        monkeypatch.setattr(inference, "PIXELS", at_once * 56 * 64)
        found = made.features(x)
    assert max(shown) == min(at_once, 5)
    assert sum(shown) == 5
    assert sum(seen.views.values()) == 10
    torch.testing.assert_close(found, expected, rtol=apart, atol=apart)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@torch.inference_mode()
@pytest.mark.parametrize("inputs", [1, 3, 200])
def test_a_linear_layer_of_onednn_is_a_linear_layer(inputs):
    torch.manual_seed(0)
    layer, x = nn.Linear(300, 70), torch.randn(inputs, 300)
    torch.testing.assert_close(OneDNNLinear(layer)(x), layer(x), rtol=1e-5, atol=1e-5)


def test_weights_are_shared_and_the_net_is_left_as_it_was(wide):
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    made, half = (
        ready_for_inference(wide, EvaluateSettings(precision="fp32")),
        ready_for_inference(wide, EvaluateSettings(precision="bf16")),
    )
    assert made.fc6.weight.data_ptr() == wide.fc6.weight.data_ptr()
    assert half.fc6.weight.dtype == torch.bfloat16
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())
    assert all(parameter.requires_grad for parameter in wide.parameters())


@torch.inference_mode()
def test_bf16_weights_converted_once_are_those_converted_at_every_call(wide, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    x = 60 * torch.randn(1, 3, 56, 64).to(memory_format=torch.channels_last)
    made = ready_for_inference(wide, EvaluateSettings(precision="bf16"))
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = made.scores(x), wide.scores(x)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
