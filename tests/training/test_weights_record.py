"""The spread of random weights tells their initialisation."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import small
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.training.weights_record import INITS, StartingWeights, initialisation_of, net_record


@pytest.mark.parametrize("init", INITS)
def test_the_spread_of_random_weights_names_their_initialisation(init):
    net = VGG("B", 10, small().model)
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


def test_layers_that_moved_are_told_from_those_that_did_not():
    net = VGG("A", 10, small().model)
    initialise_randomly(net, "he", 0)
    start = StartingWeights.measure(net, ["conv1_1"], "he")
    assert "conv1_1" not in start.spread
    assert (start.init, start.largest_bias) == ("he", 0.0)
    with torch.no_grad():
        net.fc7.bias[3] = 1e-8
    assert {"conv1_1", "fc6", "fc7", "fc8"} - set(start.unchanged(net)) == {"fc7"}


def test_a_net_is_recorded_from_its_layers():
    record = net_record(VGG("A-LRN", 10, small().model))
    assert record["layers"] == ["Conv2d", "Linear", "LocalResponseNorm", "MaxPool2d", "ReLU"]
    assert (record["width"], record["fc"], record["poolings"], record["pooling"]) == (4, 32, 3, "floor")
    assert record["lrn"] == [[2.0, 5.0, 1e-4, 0.75]]
