"""Nets of the user's own: from the same lists of layers, counted, initialised in stages, evaluated densely."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.initialisation import initialise_from, initialise_randomly
from vggrepro.nets.vgg import VGG, count_parameters, full_size_net
from vggrepro.paper.nets import NETS, TRANSFERRED, parameter_count, weight_shapes
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

OWN = {
    "batch norm": (64, "BN", "M", 128, "BN", "M", 256, "M", 512, "BN", "M", 512, "M"),
    "kernels": ("conv7-64", "M", "conv5-128", "M", 256, "conv1-256", "M", 512, "M", 512, "M"),
    "average": (64, "LRN", "M", 128, "M", 256, "BN", "LRN", "M", 512, "M", 512, "M", "GAP"),
}
SMALL = {"scale_unit": 4, "width": 16, "fc": 24}


def own_net(name: str, seed: int = 0, **sizes: object) -> VGG:
    """A small net with random weights, and statistics of batch normalisation that are not those it begins with."""
    net = VGG("A", 10, NetSettings(**SMALL | sizes, layers=OWN[name]))
    initialise_randomly(net, "he", seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(seed))
            module.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(seed))
    return net.eval()


@pytest.mark.parametrize("net", NETS)
def test_parameters_are_counted_from_the_list_of_layers_as_from_the_net(net):
    assert parameter_count(net) == count_parameters(full_size_net(net))


@pytest.mark.parametrize("name", OWN)
def test_parameters_of_an_own_net_are_counted_as_those_of_the_net(name):
    with torch.device("meta"):
        net = VGG("A", 1000, NetSettings(layers=OWN[name]))
    assert parameter_count("A", OWN[name]) == count_parameters(net)
    small = own_net(name)
    shapes = {
        key.split(".")[-2]: tuple(value.shape) for key, value in small.named_parameters() if key.endswith("weight")
    }
    assert shapes == dict(weight_shapes("A", 10, width=16, fc=24, own=OWN[name]))


@pytest.mark.parametrize("name", OWN)
def test_a_crop_is_an_image_with_a_map_of_one_place(name):
    """An image of one crop has one place, with the crop's scores; in a larger one the padding of its parts differs."""
    net, crop = own_net(name), torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(net.score_map(crop)[:, :, 0, 0], net(crop))
        image = torch.randn(1, 3, 36, 44)
        scores = net.score_map(image)
        assert scores.shape == (1, 10, 3, 5)
        torch.testing.assert_close(net.scores(image), scores.mean((2, 3)))


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("name", OWN)
def test_fast_kernels_leave_the_function_of_an_own_net_as_it_is(name, width):
    """Wide 3x3 convolutions before a normalisation must not have its ReLU."""
    net, image = own_net(name, width=width), 10 * torch.randn(2, 3, 36, 44)
    fast, plain = (ready_for_inference(net, EvaluateSettings(cpu_kernels=on)) for on in (True, False))
    with torch.inference_mode():
        torch.testing.assert_close(fast.scores(image), plain.scores(image), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(plain.scores(image), net.scores(image), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("batch norm", TRANSFERRED), ("kernels", TRANSFERRED), ("average", ("conv1_1", "conv2_1", "conv3_1"))],
)
def test_an_own_net_takes_from_a_what_fits_by_name_and_shape(name, layers):
    a = VGG("A", 10, NetSettings(**SMALL))
    initialise_randomly(a, "he", 1)
    net, before = own_net(name), own_net(name).state_dict()
    transferred = initialise_from(net, a.state_dict(), same_net=False, exact=False)
    fitting = [layer for layer in layers if any(f".{layer}." in f".{key}" for key in before)]
    expected = [layer for layer in fitting if not (name == "kernels" and layer == "conv3_2")]
    assert transferred == expected
    for key, value in net.state_dict().items():
        if key.split(".")[-2] not in transferred:
            assert torch.equal(value, before[key]), key


def test_layers_may_be_written_as_table_1_has_them():
    model = NetSettings(layers=("conv3-64", "M", "128", "M", 256, "M", 512, "M", "conv5-512", "M"))
    assert model.layers == (64, "M", 128, "M", 256, "M", 512, "M", "conv5-512", "M")
