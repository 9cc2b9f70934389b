"""The nets of Table 1: their sizes, their layers, and dense evaluation as the plain net slid over the image."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import cases
from tests.oracles.nets import krizhevsky_lrn, slid_head
from vggrepro.nets import vgg
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG, LocalResponseNorm, count_parameters, full_size_net
from vggrepro.paper.nets import LAYERS
from vggrepro.settings.blocks import NetSettings

PARAMETERS = {  # counted by hand from Table 1
    "A": 132_863_336,
    "A-LRN": 132_863_336,
    "B": 133_047_848,
    "C": 133_638_952,
    "D": 138_357_544,
    "E": 143_667_240,
}
SMALL = NetSettings(scale_unit=8, width=8, fc=24)


def small_net(name: str, model: NetSettings = SMALL) -> VGG:
    net = VGG(name, 10, model).eval()
    initialise_randomly(net, "he", seed=0)
    return net


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_counted(name):
    assert count_parameters(full_size_net(name)) == PARAMETERS[name]


def test_full_size_nets_take_no_memory():
    assert {p.device.type for p in full_size_net("E").parameters()} == {"meta"}


def test_the_receptive_field_of_b_5x5_is_that_of_b():
    def receptive_field(name):
        size, step = 1, 1
        for layer in full_size_net(name).features:
            if isinstance(layer, torch.nn.Conv2d):
                size += (layer.kernel_size[0] - 1) * step
            elif isinstance(layer, torch.nn.MaxPool2d):
                size, step = size + step, 2 * step
        return size

    assert receptive_field("B-5x5") == receptive_field("B")


@pytest.mark.parametrize("name", LAYERS)
def test_nets_have_no_layers_but_those_of_the_paper(name):
    kinds = {type(module).__name__ for module in full_size_net(name).modules()}
    assert kinds <= {"VGG", "Sequential", "Conv2d", "ReLU", "MaxPool2d", "Linear", "LocalResponseNorm"}


@pytest.mark.parametrize(
    ("name", "in_torchvision"), cases([("A", "vgg11"), ("E", "vgg19")], [("B", "vgg13"), ("D", "vgg16")])
)
def test_outputs_are_torchvisions_for_the_same_weights(name, in_torchvision):
    import torchvision

    with torch.device("meta"):
        other = getattr(torchvision.models, in_torchvision)(weights=None, init_weights=False).eval()
    generator = torch.Generator().manual_seed(0)
    shapes = {key: tensor.shape for key, tensor in other.state_dict().items()}
    scale = {key: (2 / max(1, shape[1:].numel())) ** 0.5 for key, shape in shapes.items()}
    weights = {key: torch.randn(shape, generator=generator) * scale[key] for key, shape in shapes.items()}
    other.load_state_dict(weights, assign=True)
    net = full_size_net(name).eval()
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)), assign=True)
    image = torch.randn(1, 3, 224, 224, generator=generator)
    with torch.inference_mode():
        torch.testing.assert_close(net(image), other(image), rtol=1e-4, atol=1e-4)


def test_lrn_is_krizhevskys_formula():
    a = 100 * torch.randn(2, 7, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LocalResponseNorm()(a), krizhevsky_lrn(a))
    torch.testing.assert_close(LocalResponseNorm()(a), torch.nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(a))


def test_only_a_lrn_has_a_normalisation_right_after_the_first_relu():
    layers = {name: list(dict(small_net(name).features.named_children())) for name in LAYERS}
    assert layers["A-LRN"][:4] == ["conv1_1", "relu1_1", "lrn1", "pool1"]
    assert not any("lrn" in layer for name in LAYERS if name != "A-LRN" for layer in layers[name])


@pytest.mark.parametrize("name", LAYERS)
def test_dense_evaluation_of_a_crop_is_the_plain_net(name):
    net, crop = small_net(name).double(), torch.randn(2, 3, 56, 56, dtype=torch.float64) * 50
    with torch.inference_mode():
        torch.testing.assert_close(net.score_map(crop)[:, :, 0, 0], net(crop), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("instructions", ["fastest", "avx2"])
def test_dense_evaluation_is_the_plain_head_at_every_window(instructions, monkeypatch):
    """As a matrix product, and as the convolution that takes its place where instructions are pinned."""
    monkeypatch.setattr(vgg, "instructions_in_force", lambda: instructions)
    net, image = small_net("D").double(), torch.randn(3, 3, 88, 120, dtype=torch.float64) * 50
    net.fc6.bias.data.normal_()
    with torch.inference_mode():
        torch.testing.assert_close(net.score_map(image), slid_head(net, net.features(image)), rtol=1e-10, atol=1e-10)


def test_scores_are_the_mean_of_the_score_map():
    net, image = small_net("C"), torch.randn(2, 3, 72, 64) * 50
    with torch.inference_mode():
        torch.testing.assert_close(net.scores(image), net.score_map(image).mean((2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", [4, 8, 16, 32])
def test_score_maps_at_the_papers_scales_have_the_papers_size(unit):
    net = small_net("A", NetSettings(scale_unit=unit, width=1, fc=4))
    sizes = [
        net.score_map(torch.zeros(1, 3, side, side)).shape[-1]
        for Q in (224, 256, 384, 512)
        for side in [Q * unit // 32]
    ]
    assert sizes == [1, 2, 6, 10]


def test_pooling_that_rounds_up_changes_odd_sides_only():
    down, up = small_net("A"), small_net("A", SMALL.model_copy(update={"pooling": "ceil"}))
    assert up.score_map(torch.zeros(1, 3, 56, 64)).shape == down.score_map(torch.zeros(1, 3, 56, 64)).shape
    assert up.score_map(torch.zeros(1, 3, 56, 65)).shape[-1] == down.score_map(torch.zeros(1, 3, 56, 65)).shape[-1] + 1


def test_an_image_smaller_than_the_crop_is_refused():
    with pytest.raises(ValueError, match="smaller than the net's input of 56 px"):
        small_net("A").scores(torch.zeros(1, 3, 55, 80))


def test_three_3x3_layers_have_fewer_weights_than_one_7x7():
    """PAPER 2.3: 27 C^2 against 49 C^2, which is 81% more."""
    C = 10
    three = sum(torch.nn.Conv2d(C, C, 3, bias=False).weight.numel() for _ in range(3))
    assert (three, torch.nn.Conv2d(C, C, 7, bias=False).weight.numel()) == (27 * C**2, 49 * C**2)
