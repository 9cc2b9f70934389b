"""Why is my number off?: every rung against an image at a time with PIL, torchvision and the plain net; what is told of it."""

from __future__ import annotations

import csv
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from markupsafe import escape
from PIL import Image

from tests.conftest import prepared, real, set_width, small, write_devkit
from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import original
from vggrepro.data.store import Store
from vggrepro.data.transforms import rescale
from vggrepro.data.writer import write_store
from vggrepro.diagnosis import ladder
from vggrepro.diagnosis.measure import computed_ranks, fed, measure_decomposition, official_class_places, square
from vggrepro.evaluation.evaluate import evaluate, posteriors
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights, save_weights
from vggrepro.paper.runs import Run
from vggrepro.report.figures import waterfall
from vggrepro.report.page import write_report
from vggrepro.scores.ranks import true_class_ranks, wrong_images
from vggrepro.settings.blocks import EvaluateSettings, NetSettings
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render

D, MEAN, CLASSES = Run("D", "256-512"), (120.0, 110.0, 100.0), 90
CPU = torch.device("cpu")


def random_net(name: str, classes: int, model: NetSettings) -> VGG:
    net = VGG(name, classes, model).eval()
    initialise_randomly(net, "glorot", seed=0)
    rng = torch.Generator().manual_seed(0)
    for name, bias in net.named_parameters():
        if name.endswith("bias") and name != "fc8.bias":  # without biases the input's scale changes nothing
            torch.nn.init.normal_(bias, std=0.02, generator=rng)
    return net


@pytest.fixture(scope="module")
def ilsvrc(tmp_path_factory) -> Store:
    """Six validation images of ILSVRC in their own shapes, with made-up labels of 90 classes."""
    root = tmp_path_factory.mktemp("ilsvrc")
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        for name in [n for n in file.namelist() if n.endswith(".JPEG")][:6]:
            target = root / "train" / "n01440764" / name.split("/")[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read(name))
    layout = open_ilsvrc(root)
    items = layout.items("train")
    layout.wnids = [f"n014407{i:02d}" for i in range(CLASSES)]
    write_store(root / "store", original(layout, items, encoding="files"))
    store = Store(root / "store")
    store.labels = 15 * np.arange(len(store))
    images = [store.image(i) for i in range(len(store))]
    store.image = images.__getitem__  # decoded once for all tests
    return store


def one_by_one(net: VGG, store: Store, rung: ladder.Rung) -> np.ndarray:
    """Posteriors the slow way, [N, classes]: PIL, torchvision's transforms, and the net on one image at a time."""
    from torchvision.transforms.v2 import functional as F

    rows = []
    for i in range(len(store)):
        picture = Image.fromarray(store.image(i))
        if rung.view == "square":
            picture = picture.resize((64, 64), Image.Resampling.BILINEAR)
        else:
            picture = Image.fromarray(rescale(store.image(i), 64))
        if rung.view in ("square", "crop"):
            width, height = picture.size
            left, top = (width - 56) // 2, (height - 56) // 2
            picture = picture.crop((left, top, left + 56, top + 56))
        pixels = F.to_image(picture).float()
        pixels = pixels[[2, 1, 0]] if rung.input.reverse else pixels
        x = F.normalize(pixels, list(MEAN if rung.input.mean else (0.0, 0.0, 0.0)), list(rung.input.divisor))[None]
        shown = [x, x.flip(3)] if rung.view == "mirrored" else [x]
        rows.append(torch.stack([net.scores(v).softmax(1) for v in shown]).mean(0)[0].numpy())
    return np.stack(rows)


def labels_apart(posteriors: np.ndarray) -> np.ndarray:
    """Labels [N] whose ranks no rounding changes: of each image the class that is furthest from its neighbours.

    In posteriors [ways, N, classes], all ways.
    """
    logs = np.log(posteriors)
    apart = np.abs(logs[..., None] - logs[..., None, :])
    apart[..., range(CLASSES), range(CLASSES)] = np.inf
    nearest = apart.min((0, 3))
    assert nearest.max(1).min() > 5e-4, "rounding is a hundred times less"
    return nearest.argmax(1)


def test_every_rung_equals_one_image_at_a_time(ilsvrc, monkeypatch):
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=8, fc=24))
    rungs = [rung for rung in (*ladder.rungs(D), *ladder.mistakes()) if rung.view and not rung.official]
    rungs.append(replace(rungs[3], view="mirrored"))
    with torch.inference_mode():
        slow = np.stack([one_by_one(net, ilsvrc, rung) for rung in rungs])
    monkeypatch.setattr(ilsvrc, "labels", labels_apart(slow))
    found = computed_ranks(net, ilsvrc, MEAN, rungs, settings=EvaluateSettings(batch_pixels=20_000), workers=2)
    for ranks, expected in zip(found, slow, strict=True):
        np.testing.assert_array_equal(ranks, true_class_ranks(expected, ilsvrc.labels))
    assert len({tuple(ranks) for ranks in found}) == len(rungs), "every rung is another way to measure"


def test_the_mirrored_rung_is_dense_evaluation(ilsvrc, monkeypatch):
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=8, fc=24))
    dense = posteriors(net, ilsvrc, MEAN, "dense", (256,))[256]
    monkeypatch.setattr(ilsvrc, "labels", labels_apart(dense[None]))
    found = computed_ranks(net, ilsvrc, MEAN, [ladder.Rung("mirror image", "", "mirrored")])[0]
    np.testing.assert_array_equal(found, true_class_ranks(dense, ilsvrc.labels))


def test_a_square_is_pils_and_std_is_torchvisions():
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(square(pixels, 64), np.asarray(picture))
    mean = (123.68, 116.779, 103.939)
    as_users_do = Compose([ToTensor(), Normalize([m / 255 for m in mean], ladder.IMAGENET_STD)])
    found = fed(np.array(picture)[None], torch.tensor(mean), ladder.rungs(D)[0].input)
    torch.testing.assert_close(found[0], as_users_do(picture), atol=1e-5, rtol=1e-5)


def test_an_image_is_decoded_once(ilsvrc, monkeypatch):
    decoded, image = [], ilsvrc.image
    monkeypatch.setattr(ilsvrc, "image", lambda i: decoded.append(i) or image(i))
    net = random_net("B", CLASSES, NetSettings(scale_unit=8, width=4, fc=8))
    computed_ranks(net, ilsvrc, MEAN, [rung for rung in ladder.rungs(D) if rung.view])
    assert sorted(decoded) == list(range(len(ilsvrc)))


def test_the_ladder_of_a_net_ends_in_the_papers_best_system():
    found = ladder.rungs(replace(D, seed=3))
    assert [rung.where for rung in found] == [""] * 5 + ["Table 3", "Table 4", "Table 5", "Table 6"]
    assert [rung.published["top-1"] for rung in found[5:]] == ["25.6", "24.8", "24.4", "23.7"]
    assert {e.path for e, _ in found[4].system} == {"D_256-512_s3/dense/256"}
    assert {e.run.name for e, _ in found[-1].system} == {"D_256-512_s3", "E_256-512_s3"}
    assert found[ladder.BASE].view == "crop"


def test_a_net_has_the_rungs_that_the_paper_has_of_it():
    at_256, at_384 = ladder.rungs(Run("D", "256")), ladder.rungs(Run("D", "384"))
    assert [rung.where for rung in at_256] == [""] * 4 + ["Table 3", "Table 4"]
    assert at_256[4].published == {"top-1": "27.0", "top-5": "8.8"}
    assert at_384[4].view == "mirrored", "no table has S = 384 at Q = 256"
    assert [rung.view for rung in ladder.rungs(Run("B-5x5", "256"))][-1] == "mirrored"
    with pytest.raises(ValueError, match="predicts boxes"):
        ladder.rungs(Run("D", "384", objective="PCR"))


def test_a_change_is_the_difference_of_the_errors():
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 8, 300).astype(np.int32), rng.integers(0, 7, 300).astype(np.int32)
    was, is_now = (ladder.measured_rung(ladder.Rung("", ""), ranks, None) for ranks in (before, after))
    for quantity, change in ladder.measured_rung(ladder.Rung("", ""), after, before).changes.items():
        assert change.points == pytest.approx(is_now.errors[quantity] - was.errors[quantity])
        assert change.broken - change.mended == round(3 * change.points)
        assert change.interval[0] < change.points < change.interval[1]


def test_the_devkits_order_of_the_real_classes(ilsvrc, tmp_path):
    with zipfile.ZipFile(real("ilsvrc2012-val-200.zip")) as file:
        (tmp_path / "meta_clsloc.mat").write_bytes(file.read("ilsvrc2012-val-200/devkit/meta_clsloc.mat"))
        lines = file.read("ilsvrc2012-val-200/LOC_synset_mapping.txt").decode().splitlines()
    store = object.__new__(Store)
    store.folder, store.about, store.labels = tmp_path, {"wnids": [line[:9] for line in lines]}, np.arange(1000)
    found = official_class_places(store, tmp_path)
    assert sorted(found) == list(range(1000))
    assert found[65] == 490 - 1
    assert (found != np.arange(1000)).all(), "no class keeps its place"


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[Path, Store]:
    """Weights, scores, a devkit, and the ladder of a net of random weights, on a stand-in of 20 images."""
    root = tmp_path_factory.mktemp("why")
    store = Store(prepared(root, per_class=(1, 2))[1])
    net, model = {}, small().model
    for name in ("D", "E"):
        net[name] = root / f"{name}.safetensors"
        run = Run(name, "256-512")
        save_weights(net[name], random_net(name, store.classes, model), run, MEAN, store.about["wnids"])
        for protocol in ("dense", "multi-crop"):
            out = root / "scores" / run.name / protocol
            how = {"weights_file": net[name], "val_folder": store.folder, "out": out, "device": CPU, "workers": 0}
            evaluate(run, protocol, (256, 384, 512), EvaluateSettings(), **how)
    write_devkit(root / "devkit", store)
    climb(root, store.folder, root / "why")
    return root, store


def climb(root: Path, val: Path, out: Path, **changes: object) -> ladder.Ladder:
    given = {"weights_file": root / "D.safetensors", "scores_folder": root / "scores", "devkit": root / "devkit"}
    measure_decomposition(D, EvaluateSettings(), val_folder=val, out=out, device=CPU, workers=0, **(given | changes))
    return ladder.read_decomposition(out)


def test_steps_that_tables_have_come_from_their_scores(measured):
    from vggrepro.scores.stores import read_scores

    root, store = measured
    found = ladder.read_decomposition(root / "why")
    assert (found.missing, found.images, found.base) == ([], 20, "smallest side 256")
    assert found.made["passes"] == {"centre crops": 6, "whole images": 1}
    stored = read_scores(root / "scores" / "D_256-512_s0/dense/384")
    expected = 100 * wrong_images(true_class_ranks(stored.posteriors, store.labels), "top-1").mean()
    assert next(line for line in found.steps if line.name == "Q = 384").errors["top-1"] == pytest.approx(expected)
    assert found.steps[-1].name == "with E/[256;512]"


def test_the_wrong_class_order_is_that_of_the_devkit(measured):
    """This devkit numbers classes backwards: class c is looked up as classes - 1 - c."""
    root, store = measured
    crops = posteriors(load_weights(root / "D.safetensors").net(), store, MEAN, "centre-crop", (256,))[256]
    expected = wrong_images(true_class_ranks(crops, store.classes - 1 - store.labels), "top-5").mean()
    assert ladder.read_decomposition(root / "why").mistakes[-1].errors["top-5"] == pytest.approx(100 * expected)


def test_the_flips_are_listed(measured):
    root, store = measured
    found = ladder.read_decomposition(root / "why")
    listed = list(csv.DictReader((root / "why" / "flips.csv").open(encoding="utf-8")))
    for line in (*found.steps[1:], *found.mistakes):
        for quantity, change in line.changes.items():
            rows = [row for row in listed if (row["step"], row["error"]) == (line.name, quantity)]
            counted = [sum(row["change"] == kind for row in rows) for kind in ("mended", "broken")]
            assert counted == [change.mended, change.broken]
    assert {row["image"] for row in listed} <= set(store.ids)


def test_what_is_not_there_is_told(measured, tmp_path):
    found = climb(measured[0], measured[1].folder, tmp_path / "why", scores_folder=None, devkit=None)
    assert len(found.steps) == 4
    assert len(found.missing) == 6
    assert "the devkit's class order: needs ILSVRC's devkit, which was not given" in found.missing


def test_scores_of_other_weights_are_refused(measured, tmp_path):
    other = tmp_path / "D.safetensors"
    net = random_net("D", 10, small(batch=8).model)
    save_weights(other, net, D, (1.0, 2.0, 3.0), measured[1].about["wnids"])
    with pytest.raises(ValueError, match="scores of other images or weights: evaluate again"):
        climb(measured[0], measured[1].folder, tmp_path / "why", weights_file=other)
    assert not (tmp_path / "why").exists()


def test_the_section_shows_every_line(measured, tmp_path):
    section = waterfall.decomposition_section(measured[0] / "why", tmp_path)
    page, tex = (render.render_template(f"why.{kind}.j2", {"why": section}) for kind in ("html", "tex"))
    for rung in (*ladder.rungs(D), *ladder.mistakes()):
        assert f'<th scope="row">{escape(rung.name)}</th>' in page
        assert render.escape_tex(rung.name) in tex
    assert (tmp_path / "why.pdf").stat().st_size > 1000
    assert "Not run." in render.render_template("why.html.j2", {"why": None})


def test_the_section_fits_a_phone(measured, tmp_path, browser):
    write_report(load_settings({"smoke": True}), table_files=[], run_files=[], why=measured[0] / "why", out=tmp_path)
    set_width(browser, 390)
    browser.get((tmp_path / "report.html").as_uri())
    assert browser.execute_script("return document.querySelectorAll('svg').length") == 1
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: install texlive-latex-recommended")
def test_the_section_compiles_with_pdflatex(measured, tmp_path):
    write_report(load_settings({"smoke": True}), table_files=[], run_files=[], why=measured[0] / "why", out=tmp_path)
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
