"""Weights on disk: read back as they were written, and named where they are not ours or not whole."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import small
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights, save_weights
from vggrepro.paper.runs import Run

A = Run("A", "256")


@pytest.fixture
def net() -> VGG:
    net = VGG("A", 2, small().model)
    initialise_randomly(net, "he", 0)
    return net


def test_weights_come_back_with_all_that_is_needed_to_use_them(net, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(file, net, A, (120.0, 110.0, 100.0), ["n1", "n2"])
    weights = load_weights(file)
    assert (weights.run, weights.mean, weights.wnids) == (A, (120.0, 110.0, 100.0), ("n1", "n2"))
    crops = torch.randn(2, 3, 56, 56)
    assert torch.equal(weights.net()(crops), net(crops))


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"x" * 50, lambda data: b""])
def test_damaged_weights_are_named(net, tmp_path, damage):
    file = tmp_path / "weights.safetensors"
    save_weights(file, net, A, (120.0, 110.0, 100.0), ["n1", "n2"])
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match="weights.safetensors: damaged "):
        load_weights(file)


def test_weights_of_other_programs_are_named(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors: its header does not say which net it holds"):
        load_weights(tmp_path / "other.safetensors")
