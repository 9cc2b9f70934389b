"""A net made ready to be tested gives what the net gives."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.conftest import cases
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.nets.cpu.winograd import Winograd
from vggrepro.nets.inference import BF16_INSTRUCTIONS, ready_for_inference
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

FP32, BF16 = EvaluateSettings(), EvaluateSettings(precision="bf16")


@pytest.fixture(scope="module", params=cases(["A-LRN", "B-5x5", "C", "D, ceil"], ["D"]))
def wide(request) -> VGG:
    """A net of the paper's widths on images an eighth as large, with few FC units."""
    name, _, pooling = request.param.partition(", ")
    net = VGG(name, 10, NetSettings(scale_unit=8, width=64, fc=32, pooling=pooling or "floor")).eval()
    initialise_randomly(net, "he", seed=0)
    return net


@pytest.fixture
def bf16_instructions(monkeypatch) -> None:
    """A CPU that has them, whatever this one has."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


def kinds(net: VGG) -> set[type]:
    return {type(module) for module in net.modules()}


@torch.inference_mode()
@pytest.mark.parametrize(("precision", "cpu_kernels"), [("fp32", True), ("tf32", True), ("fp32", False)])
def test_its_posteriors_are_those_of_the_net(wide, precision, cpu_kernels):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 59, 77)
    ready = ready_for_inference(wide, EvaluateSettings(precision=precision, cpu_kernels=cpu_kernels))
    assert wide.scores(x).softmax(1).max() < 0.9, "a saturated soft-max would hide differences"
    torch.testing.assert_close(ready.scores(x).softmax(1), wide.scores(x).softmax(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(ready.score_map(x), wide.score_map(x), rtol=1e-4, atol=1e-4)
    crop = x[:, :, :56, :56]
    torch.testing.assert_close(ready(crop).softmax(1), wide(crop).softmax(1), rtol=0, atol=1e-5)


def test_wide_3x3_convolutions_are_winograds(wide):
    replaced = {n for n, layer in ready_for_inference(wide, FP32).features.named_children() if type(layer) is Winograd}
    convolutions = {n: m for n, m in wide.features.named_children() if isinstance(m, torch.nn.Conv2d)}
    assert replaced == {n for n, m in convolutions.items() if n != "conv1_1" and m.kernel_size == (3, 3)}


@pytest.mark.parametrize(
    "settings", [EvaluateSettings(cpu_kernels=False), BF16, EvaluateSettings(cpu_kernels=False, precision="bf16")]
)
def test_with_the_switch_off_or_in_bf16_all_layers_are_torchs(wide, settings, bf16_instructions):
    assert kinds(ready_for_inference(wide, settings)) == kinds(wide)


def test_cpu_kernels_are_for_cpus(wide):
    """The meta device stands for a GPU."""
    with torch.device("meta"):
        net = VGG(wide.net, 10, wide.model)
    assert kinds(ready_for_inference(net, FP32)) == kinds(wide)


@pytest.mark.parametrize("instruction", BF16_INSTRUCTIONS)
def test_a_cpu_with_bf16_instructions_is_not_warned_of(wide, instruction, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True})
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        ready_for_inference(wide, BF16)
    assert raised == []


@torch.inference_mode()
def test_without_bf16_instructions_one_warning_says_that_fp32_is_faster(wide, monkeypatch):
    """bf16 is computed all the same, and recorded."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False})
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("default")
        nets = [ready_for_inference(wide, BF16) for _ in range(2)]
    assert len(raised) == 1
    assert "no bf16 instructions" in str(raised[0].message)
    assert "fp32" in str(raised[0].message)
    with record_inputs(nets[0]) as record, torch.autocast("cpu", torch.bfloat16):
        nets[0](torch.zeros(1, 3, 56, 56))
    assert record.precision == ("bf16",)


def test_weights_in_fp32_are_shared_and_the_net_is_left_as_it_was(wide, bf16_instructions):
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    ready, half = ready_for_inference(wide, FP32), ready_for_inference(wide, BF16)
    assert ready.fc6.weight.data_ptr() == wide.fc6.weight.data_ptr()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())
    assert all(parameter.requires_grad for parameter in wide.parameters())


@torch.inference_mode()
def test_weights_converted_to_bf16_once_are_those_converted_at_every_call(wide, bf16_instructions):
    x = 60 * torch.randn(1, 3, 56, 64).to(memory_format=torch.channels_last)
    ready = ready_for_inference(wide, BF16)
    with torch.autocast("cpu", torch.bfloat16):
        scores, expected = ready.scores(x), wide.scores(x)
    torch.testing.assert_close(scores, expected, rtol=0.02, atol=0.02)
