"""What a net costs, held against torch's own counts of operations, parameters and kept activations."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vggrepro.nets.vgg import VGG, count_parameters
from vggrepro.paper.nets import NETS
from vggrepro.planning.arithmetic import forward_work, kept_activations, parameters, training_work
from vggrepro.settings.blocks import NetSettings

SMALL = NetSettings(scale_unit=8, width=8, fc=32)


def built(net: str, model: NetSettings = SMALL, classes: int = 10) -> VGG:
    with torch.device("meta"):
        return VGG(net, classes, model)


@pytest.mark.parametrize("net", NETS)
def test_operations_of_a_net_are_those_that_torch_counts(net):
    crop = NetSettings().crop
    for height, width in ((crop, crop), (crop + 32, crop + 150)):
        with FlopCounterMode(display=False) as counter:
            built(net, NetSettings(), 1000).score_map(torch.empty(1, 3, height, width, device="meta"))
        operations, _ = forward_work(net, NetSettings(), height, width, 1000, 4)
        # torch does not count the pointwise work of response normalisation
        assert operations == pytest.approx(counter.get_total_flops(), rel=0.01 if net == "A-LRN" else 1e-9)


@pytest.mark.parametrize("last", [[], ["GAP"]])
def test_a_net_of_the_users_own_is_counted_by_its_own_layers(last):
    layers = (32, "BN", "M", "conv5-64", "M", 128, "M", 128, 128, "M", 256, "M", *last)
    model = NetSettings(layers=layers)
    net = built("A", model, 100)
    assert parameters("A", model, 100) == count_parameters(net)
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, model.crop, model.crop, device="meta"))
    operations, _ = forward_work("A", model, model.crop, model.crop, 100, 4)
    assert operations == pytest.approx(counter.get_total_flops(), rel=1e-9)


@pytest.mark.parametrize("fc_alone", [False, True])
def test_a_step_of_training_costs_what_torch_counts(fc_alone):
    net = built("B", NetSettings(), 1000)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("fc") or not fc_alone)
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(4, 3, 224, 224, device="meta")).sum().backward()
    operations, _ = training_work("B", NetSettings(), 1000, batch=4, bytes_each=4, fc_alone=fc_alone)
    assert operations == pytest.approx(counter.get_total_flops() / 4, rel=1e-9)


@pytest.mark.parametrize("net", NETS)
def test_parameters_are_those_of_the_net(net):
    assert parameters(net, SMALL, 10) == count_parameters(built(net))


def test_a_training_keeps_about_the_activations_that_autograd_keeps():
    """Within a tenth: what is predicted of memory decides in how many pieces a batch is planned."""
    net, kept = VGG("D", 10, SMALL), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.zeros(4, 3, SMALL.crop, SMALL.crop)
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = net(images, net.dropout(4, 0, torch.device("cpu")))
    assert outputs.requires_grad
    measured = sum(size for place, size in kept.items() if place not in weights)
    assert 4 * 4 * kept_activations("D", SMALL, 10) == pytest.approx(measured, rel=0.1)
