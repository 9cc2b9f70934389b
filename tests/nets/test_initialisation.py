"""Random weights, and weights from the run that another is initialised from."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from vggrepro.nets.initialisation import (
    initialisation_of,
    initialise_from,
    initialise_randomly,
    standard_deviation,
)
from vggrepro.nets.vgg import VGG, full_size_net
from vggrepro.paper.nets import TRANSFERRED
from vggrepro.settings.blocks import NetSettings, TrainSettings

SMALL = NetSettings(scale_unit=8, width=8, fc=24)


def random_net(name: str, seed: int, model: NetSettings = SMALL) -> VGG:
    net = VGG(name, 10, model)
    initialise_randomly(net, "normal-0.01", seed)
    return net


@pytest.mark.parametrize(("init", "std"), [("normal-0.01", 0.01), ("normal-0.1", 0.1)])
def test_weights_are_normal_with_the_chosen_deviation_and_biases_are_0(init, std):
    net = VGG("A", 10, SMALL)
    initialise_randomly(net, init, seed=0)
    assert net.fc6.weight.std().item() == pytest.approx(std, rel=0.02)
    assert net.fc6.weight.mean().item() == pytest.approx(0, abs=std / 50)
    assert not any(parameter.any() for name, parameter in net.named_parameters() if name.endswith("bias"))


def test_glorot_and_he_follow_the_fans():
    weight = torch.empty(20, 10, 3, 3)
    assert standard_deviation(weight, "glorot") == pytest.approx(math.sqrt(2 / (90 + 180)))
    assert standard_deviation(weight, "he") == pytest.approx(math.sqrt(2 / 90))
    with pytest.raises(ValueError, match="no initialisation is called 'zeros'"):
        standard_deviation(weight, "zeros")


def test_the_seed_decides_the_weights():
    assert torch.equal(random_net("A", 1).fc7.weight, random_net("A", 1).fc7.weight)
    assert not torch.equal(random_net("A", 1).fc7.weight, random_net("A", 2).fc7.weight)


@pytest.mark.parametrize("name", ["B", "C", "D", "E"])
def test_other_nets_take_from_a_its_first_four_convolutions_and_its_fc_layers(name):
    a, net, untouched = random_net("A", 1), random_net(name, 2), random_net(name, 2)
    transferred = initialise_from(net, a.state_dict(), same_net=False)
    assert sorted(transferred) == sorted(TRANSFERRED)
    for key, tensor in net.state_dict().items():
        source = a if key.split(".")[-2] in transferred else untouched
        assert torch.equal(tensor, source.state_dict()[key]), key


def test_the_transferred_layers_are_the_first_four_convolutions_of_a_and_the_fc_layers():
    convolutions = [name for name, _ in full_size_net("A").features.named_children() if name.startswith("conv")]
    assert (*convolutions[:4], "fc6", "fc7", "fc8") == TRANSFERRED


def test_a_3x3_kernel_becomes_the_middle_of_a_5x5():
    a, net = random_net("A", 1), random_net("B-5x5", 2)
    transferred = initialise_from(net, a.state_dict(), same_net=False)
    assert sorted(transferred) == ["conv1_1", "conv2_1", "conv3_1", "fc6", "fc7", "fc8"]
    x = torch.randn(1, 3, 20, 20)
    torch.testing.assert_close(net.features.conv1_1(x), a.features.conv1_1(x))


@pytest.mark.parametrize("but", [(), ("fc8",)])
def test_a_net_takes_all_layers_of_its_own_kind_but_those_named(but):
    source, net, untouched = random_net("D", 1), random_net("D", 2), random_net("D", 2)
    initialise_from(net, source.state_dict(), same_net=True, but=but)
    for key, tensor in net.state_dict().items():
        expected = untouched if key.split(".")[-2] in but else source
        assert torch.equal(tensor, expected.state_dict()[key]), key


def test_weights_of_another_width_are_refused():
    other = random_net("D", 1, NetSettings(scale_unit=8, width=4, fc=24))
    with pytest.raises(
        ValueError, match=r"conv1_1.weight .* is \(4, 3, 3, 3\), expected \(8, 3, 3, 3\): train both runs"
    ):
        initialise_from(random_net("D", 2), other.state_dict(), same_net=True)


@pytest.mark.parametrize("init", get_args(TrainSettings.model_fields["init"].annotation))
def test_the_spread_of_random_weights_names_their_initialisation(init):
    net = VGG("B", 10, SMALL)
    initialise_randomly(net, init, 0)
    weights = [p.detach() for p in net.parameters() if p.ndim > 1]
    assert initialisation_of(weights) == init
    assert initialisation_of([3 * weight for weight in weights]) == "unknown"
    assert initialisation_of(weights, "normal-0.1" if init != "normal-0.1" else "he") == init


def test_where_small_layers_fit_several_initialisations_the_expected_one_is_named():
    """The last layer alone, of 64 to 4 units: He's deviation is 3% above Glorot's, and 256 weights tell it to 4%."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.1715 * torch.randn(4, 64, generator=generator)
    assert {initialisation_of([weight], expected) for expected in ("he", "glorot")} == {"he", "glorot"}
    assert initialisation_of([weight], "normal-0.01") in ("he", "glorot")
