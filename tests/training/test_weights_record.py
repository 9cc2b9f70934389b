"""What the weights of a net say about its training."""

from __future__ import annotations

import torch

from tests.conftest import small
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.training.weights_record import StartingWeights, net_record


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
    assert (record["width"], record["fc"], record["poolings"], record["pooling"]) == (4, 32, 2, "floor")
    assert record["lrn"] == [[2.0, 5.0, 1e-4, 0.75]]
