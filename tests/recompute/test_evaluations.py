"""Posteriors and boxes, computed again: they agree with what the code does, and with nothing else that it could do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import cases, list_again, prepared
from vggrepro.core.files import write_json
from vggrepro.data import transforms
from vggrepro.data.standin import draw_data_set
from vggrepro.data.store import Store
from vggrepro.evaluation import batches, evaluate, views
from vggrepro.localisation import prediction
from vggrepro.nets import inference, vgg
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.weights import save_weights
from vggrepro.paper import nets
from vggrepro.paper.runs import Run
from vggrepro.recompute.check import Extent, recompute
from vggrepro.recompute.evaluations import Sample, recomputed_boxes, recomputed_scores
from vggrepro.recompute.findings import Finding
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

C, BOXES = Run("C", "256"), Run("D", "384", objective="PCR")
MODEL = NetSettings(scale_unit=8, width=8, fc=24)
MEAN = (120.0, 110.0, 100.0)
CPU = torch.device("cpu")
SAMPLE = Sample(5)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Images of several shapes, two of them twice as high as wide, and random nets."""
    folder = tmp_path_factory.mktemp("results")
    draw_data_set(folder / "drawn", train_per_class=1, val_per_class=1)
    shapes = [(90, 70), (70, 90), (64, 64), (160, 66), (66, 160)]
    for i, file in enumerate(sorted((folder / "drawn" / "val" / "images").iterdir())):
        Image.open(file).resize(shapes[i % len(shapes)]).save(file, quality=95)
    list_again(folder / "drawn" / "words.txt")
    prepared(folder / "data", "tiny-imagenet", folder / "drawn", per_class=(1, 1), encoding="files", workers=1)
    for run in (C, BOXES, Run("D", "384")):
        save_random_net(folder, run)
    return folder


def save_random_net(folder: Path, run: Run) -> None:
    wnids = Store(folder / "data" / "val").about["wnids"]
    net = vgg.VGG(run.net, run.outputs(len(wnids)), MODEL)
    initialise_randomly(net, "glorot", seed=1)
    save_weights(folder / "runs" / run.name / "weights.safetensors", net, run, MEAN, wnids)


def evaluated(folder: Path, protocol: str, Q: int, **settings: str) -> list[Finding]:
    """The findings on posteriors that the code makes now."""
    path = f"scores/{C.name}/{protocol}"
    shutil.rmtree(folder / path, ignore_errors=True)  # what fits would be kept
    evaluate.evaluate_run(
        C, protocol, (Q,), EvaluateSettings(**settings), weights_file=folder / "runs" / C.name / "weights.safetensors",
        val_folder=folder / "data" / "val", out=folder / path, device=CPU, workers=0,
    )  # fmt: skip
    return list(recomputed_scores(folder, f"{path}/{Q}", SAMPLE))


def statuses(findings: list[Finding]) -> set[str]:
    return {finding.status for finding in findings}


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("dense", {}),
        ("dense", {"average": "posteriors"}),
        ("multi-crop", {}),
        ("multi-crop", {"crop_grid": "square"}),
        ("centre-crop", {}),
        ("dense", {"precision": "bf16"}),
    ],
)
def test_posteriors_agree_under_every_protocol(results, protocol, settings):
    findings = evaluated(results, protocol, 288, **settings)
    assert statuses(findings) == {"agrees"}
    assert findings[-1].what == "posteriors of 5 of 10 images"
    assert findings[-1].digits > (1 if "precision" in settings else 5)


def no_mean(patch):
    original = evaluate.input_of_views
    patch.setattr(evaluate, "input_of_views", lambda views, mean, **more: original(views, mean * 0, **more))


def colours_reversed(patch):
    original = evaluate.input_of_views
    patch.setattr(evaluate, "input_of_views", lambda views, *a, **more: original(views[..., ::-1].copy(), *a, **more))


def no_mirror_image(patch):
    original = evaluate.input_of_views

    def twice(pixels, mean, mirrored):
        return torch.cat([original(pixels, mean)] * (1 + mirrored))

    patch.setattr(evaluate, "input_of_views", twice)


def copies_of_one_crop(patch):
    original = views.grid
    patch.setattr(views, "grid", lambda *a: [original(*a)[12]] * 25)


def another_scale(patch):
    original = batches.rescale_image
    patch.setattr(batches, "rescale_image", lambda image, smallest: original(image, smallest + 2))


def not_isotropic(patch):
    patch.setattr(transforms, "rescaled_size", lambda height, width, smallest: (smallest, smallest))


def crops_at_the_edge(patch):
    patch.setattr(views, "centre", lambda side, crop: 0)


def nearest_pixel(patch):
    def nearest(image, smallest):
        size = transforms.rescaled_size(*image.shape[:2], smallest)
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.NEAREST))

    patch.setattr(batches, "rescale_image", nearest)


def soft_max_first(patch):
    def of_batch(net, images, protocol, settings):
        return net.score_map(images).softmax(1).mean((2, 3))

    patch.setattr(evaluate, "posteriors_of_batch", of_batch)


def smoothed_posteriors(patch):
    original = evaluate.posteriors_of_batch
    patch.setattr(evaluate, "posteriors_of_batch", lambda *a: 0.99 * original(*a) + 0.001)


def another_net(patch):
    original = inference.ready_for_inference

    def ready(net, settings):
        with torch.no_grad():
            net.features.conv3_3.weight *= 1.01
        return original(net, settings)

    patch.setattr(evaluate, "ready_for_inference", ready)


EVERYWHERE = (no_mean, colours_reversed, another_scale, not_isotropic, nearest_pixel, smoothed_posteriors, another_net)
OF_ONE = [
    (no_mirror_image, "dense"),
    (no_mirror_image, "multi-crop"),
    (copies_of_one_crop, "multi-crop"),
    (crops_at_the_edge, "centre-crop"),
    (soft_max_first, "dense"),
]
CASES = cases(
    [*((mutation, "dense") for mutation in EVERYWHERE), *OF_ONE],
    [(mutation, protocol) for mutation in EVERYWHERE for protocol in ("multi-crop", "centre-crop")],
)


@pytest.mark.parametrize(("mutation", "protocol"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_posteriors_of_another_protocol_differ(results, mutation, protocol):
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        findings = evaluated(results, protocol, 320)
    assert findings[-1].status == "differs"


@pytest.mark.parametrize("layers", [[64, "M"], [64, nets.Conv(5, 64), "M"], [128, 64, "M"]], ids=str)
def test_another_net_than_table_1_differs_or_is_not_evaluated(results, tmp_path, monkeypatch, layers):
    """The net's file does not fit the published layers: nothing is computed with it, and the check of the run says so."""
    monkeypatch.setitem(nets.LAYERS, "C", [*layers, *nets.LAYERS["C"][3:]])
    (tmp_path / "data").symlink_to(results / "data")
    save_random_net(tmp_path, C)
    assert statuses(evaluated(tmp_path, "dense", 256)) == {"not recomputed"}
    findings = list(recompute(tmp_path, None, Extent(SAMPLE, 1)))
    assert findings[0].status == "differs"
    assert findings[0].about == f"runs/{C.name}"


def test_a_posterior_that_was_changed_differs(results):
    evaluated(results, "dense", 256)
    folder = results / "scores" / C.name / "dense" / "256"
    posteriors = np.load(folder / "posteriors.npy")
    posteriors[:, [0, 1]] += np.array([1e-3, -1e-3], np.float32)
    np.save(folder / "posteriors.npy", posteriors)
    list_again(folder / "posteriors.npy")
    findings = list(recomputed_scores(results, f"scores/{C.name}/dense/256", SAMPLE))
    assert [finding.status for finding in findings] == ["agrees", "differs"]


def test_labels_that_were_changed_differ(results):
    evaluated(results, "dense", 256)
    folder = results / "scores" / C.name / "dense" / "256"
    np.save(folder / "labels.npy", np.load(folder / "labels.npy")[::-1])
    list_again(folder / "labels.npy")
    findings = list(recomputed_scores(results, f"scores/{C.name}/dense/256", SAMPLE))
    assert [finding.status for finding in findings] == ["differs", "agrees"]


def test_scores_of_other_weights_are_not_recomputed_and_say_so(results):
    evaluated(results, "dense", 256)
    made = results / "scores" / C.name / "dense" / "256" / "made.json"
    write_json(made, json.loads(made.read_text()) | {"weights": "0" * 64})
    list_again(made)
    (finding,) = recomputed_scores(results, f"scores/{C.name}/dense/256", SAMPLE)
    assert finding.status == "not recomputed"
    assert "other weights" in finding.note


def predicted(folder: Path, protocol: str) -> list[Finding]:
    """The findings on boxes that the code makes now."""
    answers, classifier = None, None
    store = Store(folder / "data" / "val")
    if protocol == "dense":
        answers, classifier = folder / "answers" / "s0", folder / "runs" / "D_384_s0" / "weights.safetensors"
        answers.mkdir(parents=True, exist_ok=True)
        np.save(answers / "answers.npy", (store.labels[:, None] + np.arange(5)) % 10)
        (answers / "ids.txt").write_text("".join(f"{name}\n" for name in store.ids))
        write_json(answers / "made.json", {"data": store.digest, "labelled by": {}})
    path = f"boxes/{BOXES.name}/{protocol}"
    shutil.rmtree(folder / path, ignore_errors=True)
    prediction.localise(
        BOXES, protocol=protocol, scales=(384,), classifier_file=classifier, labels_folder=answers,
        val_folder=folder / "data" / "val", settings=EvaluateSettings(),
        weights_file=folder / "runs" / BOXES.name / "weights.safetensors", out=folder / path, device=CPU, workers=0,
    )  # fmt: skip
    return list(recomputed_boxes(folder, f"{path}/384", SAMPLE))


@pytest.mark.parametrize("protocol", ["dense", "centre-crop"])
def test_boxes_and_their_scores_agree(results, protocol):
    findings = predicted(results, protocol)
    assert statuses(findings) == {"agrees"}
    assert [finding.what.split(" of ")[0] for finding in findings] == [
        "labels and ids", "true boxes", "boxes", "scores",
    ]  # fmt: skip


def windows_off_by_one(patch):
    original = prediction.window_corners
    patch.setattr(prediction, "window_corners", lambda *a: original(*a) + 1)


def box_of_another_class(patch):
    original = prediction._select_labels
    patch.setattr(prediction, "_select_labels", lambda values, labels: original(values, (labels + 1) % 10))


def inputs_mirrored(patch):
    original = prediction.input_of_views
    patch.setattr(prediction, "input_of_views", lambda *a: original(*a).flip(3))


@pytest.mark.parametrize("mutation", [windows_off_by_one, box_of_another_class, inputs_mirrored])
@pytest.mark.parametrize("protocol", ["dense", "centre-crop"])
def test_boxes_of_another_protocol_differ(results, mutation, protocol):
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        findings = predicted(results, protocol)
    assert "differs" in statuses(findings)
