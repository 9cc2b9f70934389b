"""What a net is made of, and which of its layers are still the same."""

from __future__ import annotations

import torch

from tests.conftest import small
from vggrepro.nets.composition import layer_digests, net_record
from vggrepro.nets.vgg import VGG


def test_the_digest_of_a_layer_follows_its_weights_and_biases():
    net = VGG("A", 10, small().model)
    before = layer_digests(net)
    with torch.no_grad():
        net.fc7.bias[3] += 1e-3
        net.features.conv1_1.weight[0, 0, 0, 0] += 1e-3
    assert {name for name, digest in layer_digests(net).items() if digest != before[name]} == {"conv1_1", "fc7"}


def test_a_net_is_recorded_from_its_layers():
    record = net_record(VGG("A-LRN", 10, small().model))
    assert record["layers"] == ["Conv2d", "Linear", "LocalResponseNorm", "MaxPool2d", "ReLU"]
    assert (record["width"], record["fc"], record["poolings"], record["pooling"]) == (4, 32, 2, "floor")
    assert record["lrn"] == [[2.0, 5.0, 1e-4, 0.75]]
