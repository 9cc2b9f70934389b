"""Features against one image at a time, and on real images."""

from __future__ import annotations

import numpy as np
import torch

from tests.conftest import real
from tests.svm_results import MEAN, NETS, random_net
from vggrepro import cli
from vggrepro.data.collections import VOC, Caltech
from vggrepro.data.transforms import rescale_image
from vggrepro.settings.blocks import EvaluateSettings
from vggrepro.transfer.features import extract_features


def test_features_are_means_over_space_and_both_images(drawn_sets):
    voc = VOC(drawn_sets / "voc2007", "2007")
    net, settings = random_net(NETS[0]), EvaluateSettings(batch_pixels=40_000)
    features = extract_features(net, voc, mean=MEAN, scales=(256, 384), settings=settings)
    for i in (0, 17, 63):
        for Q in (256, 384):
            image = torch.from_numpy(rescale_image(voc.image(i), net.model.pixels(Q)).copy()).float() - torch.tensor(
                MEAN
            )
            hidden = [net.hidden_map(v.permute(2, 0, 1)[None])[0] for v in (image, image.flip(1))]
            expected = torch.stack([v.mean((0, 1)) for v in hidden]).mean(0).detach()
            np.testing.assert_allclose(features[Q][i], expected, rtol=1e-4, atol=1e-4)
    assert (features[256] >= 0).all()  # after the ReLU


def test_real_images_of_all_kinds_have_features():
    """Caltech-101's greyscale and colour images of many sizes; BCCD's blood cells."""
    net = random_net(NETS[0])
    for collection in (Caltech(real("caltech101-18.zip"), "101"), VOC(real("bccd-voc.zip"), "2007")):
        collection.pictures = collection.pictures[::40]
        features = extract_features(net, collection, mean=MEAN, scales=(256,), workers=2)[256]
        assert features.shape == (len(collection), 24)
        assert np.isfinite(features).all()
        assert len(np.unique(features.sum(1))) == len(collection)


def test_weights_of_another_run_are_refused(svm_results, drawn_sets, tmp_path, capsys):
    options = ["--path", str(drawn_sets / "voc2007"), "--scales", "256"]
    options += ["--weights", str(svm_results / "D_256-512_s0.safetensors")]
    assert cli.main(["features", "E_256-512_s0", "voc2007", *options, "--out", str(tmp_path / "o")]) == 2
    assert "holds D_256-512_s0, expected E_256-512_s0" in capsys.readouterr().err
