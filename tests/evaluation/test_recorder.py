"""What is recorded of an evaluation is what the net was shown, whatever the settings say."""

from __future__ import annotations

import json

import pytest
import torch

from vggrepro.data.store import Store
from vggrepro.evaluation.evaluate import evaluate_run
from vggrepro.evaluation.recorder import record_inputs
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import save_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

RUN = Run("A", "256")


def random_net() -> VGG:
    net = VGG("A", 10, NetSettings(scale_unit=8, width=4, fc=32)).eval()
    initialise_randomly(net, "glorot", seed=0)
    return net


@pytest.mark.parametrize(
    ("protocol", "views", "mirrored"),
    [
        ("dense", {"64": 80, "96": 80}, True),
        ("multi-crop", {"56": 4000}, True),
        ("centre-crop", {"56": 80}, False),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.filterwarnings("ignore:precision bf16")
def test_an_evaluation_records_its_views_and_its_precision(protocol, views, mirrored, precision, stores, tmp_path):
    val = Store(stores[1])
    weights, out = tmp_path / "weights.safetensors", tmp_path / "scores"
    save_weights(weights, random_net(), RUN, (110.0, 110.0, 110.0), val.about["wnids"])
    files = {"weights_file": weights, "val_folder": val.folder, "out": out, "device": torch.device("cpu"), "workers": 0}
    evaluate_run(RUN, protocol, (256, 384), EvaluateSettings(precision=precision), **files)
    for Q in (256, 384):
        record = json.loads((out / str(Q) / "made.json").read_text())["record"]
        assert (record["views"], record["mirrored"], record["scales"]) == (views, mirrored, [256, 384])
        assert record["precision"] == [precision]
        assert 100 < record["pixels"][1] - record["pixels"][0] <= 255


def test_an_input_divided_by_its_standard_deviation_shows():
    with record_inputs(net := random_net()) as record, torch.inference_mode():
        net(torch.randn(2, 3, 56, 56))
    assert record.pixels[1] - record.pixels[0] < 20


def test_nothing_is_recorded_after_the_block():
    with record_inputs(net := random_net()) as record, torch.inference_mode():
        net(torch.zeros(2, 3, 56, 56))
    net(torch.zeros(1, 3, 56, 56))
    assert record.views == {56: 2}


@pytest.mark.parametrize("complete", [True, False])
def test_a_batch_is_mirrored_if_every_view_has_its_mirror_image(complete):
    images = torch.randn(3, 3, 56, 56)
    batch = torch.cat([images, images.flip(3)])[: 6 if complete else 5]
    with record_inputs(net := random_net()) as record, torch.inference_mode():
        net(batch)
    assert record.mirrored == complete
