"""Random weights, and what a parent lends."""

from __future__ import annotations

import math

import pytest
import torch

from vggrepro.nets.initialisation import initialise_from, initialise_randomly, standard_deviation
from vggrepro.nets.vgg import VGG, full_size_net
from vggrepro.settings.blocks import NetSettings

SMALL = NetSettings(scale_unit=8, width=8, fc=24)


def net(name: str, seed: int, model: NetSettings = SMALL) -> VGG:
    made = VGG(name, 10, model)
    initialise_randomly(made, "normal-0.01", seed)
    return made


@pytest.mark.parametrize(("init", "std"), [("normal-0.01", 0.01), ("normal-0.1", 0.1)])
def test_weights_are_normal_with_the_chosen_deviation(init, std):
    made = VGG("A", 10, SMALL)
    initialise_randomly(made, init, seed=0)
    assert made.fc6.weight.std().item() == pytest.approx(std, rel=0.02)
    assert made.fc6.weight.mean().item() == pytest.approx(0, abs=std / 50)
    assert not any(parameter.any() for name, parameter in made.named_parameters() if name.endswith("bias"))


def test_glorot_and_he_follow_the_fans():
    weight = torch.empty(20, 10, 3, 3)
    assert standard_deviation(weight, "glorot") == pytest.approx(math.sqrt(2 / (90 + 180)))
    assert standard_deviation(weight, "he") == pytest.approx(math.sqrt(2 / 90))
    with pytest.raises(ValueError, match="no initialisation is called 'zeros'"):
        standard_deviation(weight, "zeros")


def test_the_seed_decides_the_weights():
    assert torch.equal(net("A", 1).fc7.weight, net("A", 1).fc7.weight)
    assert not torch.equal(net("A", 1).fc7.weight, net("A", 2).fc7.weight)


@pytest.mark.parametrize("name", ["B", "C", "D", "E"])
def test_a_lends_its_first_four_convolutions_and_its_fc_layers(name):
    parent, child, untouched = net("A", 1), net(name, 2), net(name, 2)
    lent = initialise_from(child, parent.state_dict(), "A")
    assert sorted(lent) == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"]
    for key, tensor in child.state_dict().items():
        source = parent if key.split(".")[-2] in lent else untouched
        assert torch.equal(tensor, source.state_dict()[key]), key


def test_the_layers_that_a_lends_are_its_first_four_convolutions():
    first = [name for name, _ in full_size_net("A").features.named_children() if name.startswith("conv")][:4]
    assert first == ["conv1_1", "conv2_1", "conv3_1", "conv3_2"]


def test_a_3x3_kernel_becomes_the_middle_of_a_5x5():
    parent, child = net("A", 1), net("B-5x5", 2)
    lent = initialise_from(child, parent.state_dict(), "A")
    assert sorted(lent) == ["conv1_1", "conv2_1", "conv3_1", "fc6", "fc7", "fc8"]
    x = torch.randn(1, 3, 20, 20)
    torch.testing.assert_close(child.features.conv1_1(x), parent.features.conv1_1(x))


def test_a_run_of_the_same_net_lends_everything():
    parent, child = net("D", 1), net("D", 2)
    initialise_from(child, parent.state_dict(), "D")
    assert all(
        torch.equal(a, b) for a, b in zip(child.state_dict().values(), parent.state_dict().values(), strict=True)
    )


def test_a_parent_of_another_width_is_refused():
    other = net("D", 1, NetSettings(scale_unit=8, width=4, fc=24))
    with pytest.raises(ValueError, match="trained with the same preset"):
        initialise_from(net("D", 2), other.state_dict(), "D")
