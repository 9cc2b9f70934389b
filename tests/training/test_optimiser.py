"""SGD is torch's, without what its class imports."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from vggrepro.training.optimiser import SGD


def steps(net: nn.Module, optimiser: SGD | torch.optim.SGD, count: int = 20) -> list[torch.Tensor]:
    """The parameters after some steps on random gradients."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        for parameter in net.parameters():
            # as autograd leaves it: in the memory format of the parameter
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
        optimiser.step()
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 5e-4), (0.9, 0.0), (0.0, 5e-4), (0.0, 0.0)])
@pytest.mark.parametrize(("fused", "tolerance"), [(True, 0.0), (False, 1e-6)])
def test_steps_are_those_of_torchs_class(momentum, weight_decay, fused, tolerance):
    """Bit for bit those of its fused kernel; its plain one rounds the last elements of a tensor in another way."""
    settings = {"momentum": momentum, "weight_decay": weight_decay}
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(77, 13)).to(memory_format=torch.channels_last)
    other = copy.deepcopy(net)
    stepped = steps(net, SGD(net, learning_rate=0.01, **settings))
    expected = steps(other, torch.optim.SGD(other.parameters(), lr=0.01, fused=fused, **settings))
    torch.testing.assert_close(stepped, expected, rtol=tolerance, atol=tolerance)


def test_a_step_is_the_formula():
    net = nn.Linear(1, 1, bias=False)
    optimiser = SGD(net, learning_rate=0.1, momentum=0.5, weight_decay=0.01)
    weight, velocity = float(net.weight.detach()), 0.0
    for gradient in (1.0, -3.0, 2.0):
        net.weight.grad = torch.tensor([[gradient]])
        optimiser.step()
        velocity = 0.5 * velocity + gradient + 0.01 * weight
        weight -= 0.1 * velocity
        assert float(net.weight.detach()) == pytest.approx(weight, abs=1e-6)
        assert float(optimiser.velocities["weight"]) == pytest.approx(velocity, abs=1e-6)


def test_weights_that_require_no_gradient_stay():
    net = nn.Linear(3, 3)
    net.weight.requires_grad_(False)
    before = net.weight.clone()
    optimiser = SGD(net, learning_rate=0.1, momentum=0.9, weight_decay=0.1)
    steps(net, optimiser, 1)
    assert torch.equal(net.weight, before)
    assert list(optimiser.velocities) == ["bias"]


def test_velocities_of_other_weights_are_refused():
    optimiser = SGD(nn.Linear(1, 1), learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    with pytest.raises(KeyError, match="bias"):
        optimiser.load_velocities({"weight": torch.zeros(1, 1)})


def test_no_compiler_is_loaded():
    """Neither torch's, which its class of SGD imports, nor numba's, where no image is rescaled."""
    code = """
import sys, torch
import vggrepro.training.train
from vggrepro.training.optimiser import SGD
net = torch.nn.Linear(1, 1)
net(torch.ones(1)).backward()
SGD(net, learning_rate=0.1, momentum=0.9, weight_decay=0.0).step()
sys.exit('torch._dynamo' in sys.modules or 'numba' in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
