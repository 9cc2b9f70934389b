"""A net made ready to be tested: the same function, laid out once for the precision and the device at hand."""

from __future__ import annotations

import warnings

import torch

from vggrepro.nets.cpu import with_cpu_kernels
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Names in `torch.cpu.get_capabilities` of what multiplies bf16: on x86 the first two, on ARM the others."""


def ready_for_inference(net: VGG, settings: EvaluateSettings) -> VGG:
    """A copy of the net in evaluation mode, with the same outputs within rounding. Weights in fp32 are shared, not copied.

    In bf16 the weights are converted once, not at every call, and all arithmetic is torch's own, on every device. In fp32 on a
    CPU the convolutions are those of `nets.cpu`, unless `settings.cpu_kernels` is off. The features of the copy have the type
    that they are computed in, so that a recorder that watches it records the precision of what really ran.
    """
    device = net.fc8.weight.device
    with torch.device("meta"):
        ready = VGG(net.net, net.fc8.out_features, net.model)
    ready.load_state_dict({name: value.detach() for name, value in net.state_dict().items()}, assign=True)
    ready.eval().requires_grad_(False)
    if settings.precision == "bf16":
        if device.type == "cpu":
            _warn_if_bf16_is_emulated()
        ready.to(torch.bfloat16)
    elif device.type == "cpu" and settings.cpu_kernels:
        ready.features = with_cpu_kernels(ready.features)
    ready.to(memory_format=torch.channels_last)
    return ready


def cpu_has_bf16() -> bool:
    """Whether this CPU has instructions that multiply bf16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in BF16_INSTRUCTIONS)


def _warn_if_bf16_is_emulated() -> None:
    if not cpu_has_bf16():
        # Python shows a warning once for each place that it comes from
        warnings.warn(
            "precision bf16: this CPU has no bf16 instructions and emulates them, which is several times slower than fp32: "
            "set evaluate.precision to fp32, or use another machine",
            stacklevel=2,
        )
