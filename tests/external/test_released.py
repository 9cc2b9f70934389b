"""Released nets in the formats of their programs: read to the last bit, and no wrong reading of them is accepted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.conftest import prepared, write_devkit
from tests.formats import layers_of, torchvision_like, write_caffe, write_mat
from vggrepro import cli
from vggrepro.core.files import file_digest
from vggrepro.data.store import Store
from vggrepro.external import released
from vggrepro.external.formats import read_released_net
from vggrepro.external.readings import MEAN, STD, mean_of, reading_of, tensors_in_our_layout
from vggrepro.external.released import ReleasedCandidate
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import load_weights
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings, ReadingSettings
from vggrepro.settings.downloads import Download
from vggrepro.settings.loading import load_settings

torch.set_num_threads(1)  # nets this small are slower on several
MODEL = NetSettings(scale_unit=8, width=4, fc=32, dropout=0.0)
WNIDS = [f"n{99000000 + k}" for k in range(4)]
PIXEL = (101.0, 102.5, 103.25)


def random_net(name: str, classes: int = 4) -> VGG:
    torch.manual_seed(3)
    net = VGG(name, classes, MODEL)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return net.eval()


def our_net(file: Path, name: str, declared: ReadingSettings | None = None) -> tuple[VGG, tuple[float, float, float]]:
    """A released net as ours, and its mean."""
    released = read_released_net(file)
    net, reading = VGG(name, 4, MODEL), reading_of(released, declared or ReadingSettings())
    net.load_state_dict(tensors_in_our_layout(released, reading, net))
    return net.eval(), mean_of(released, reading)


def equal(a: VGG, b: VGG) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["D", "E"])
@pytest.mark.parametrize("form", ["new", "2014", "oldest", "double", "unpacked"])
def test_caffe_nets_come_back_to_the_last_bit(tmp_path, name, form):
    net = random_net(name)
    write_caffe(tmp_path / "n.caffemodel", layers_of(net), form)
    converted, mean = our_net(tmp_path / "n.caffemodel", name)
    assert equal(converted, net)
    assert mean == (123.68, 116.779, 103.939)


@pytest.mark.parametrize("old", [True, False])
def test_matconvnet_nets_come_back_with_mean_and_classes(tmp_path, old):
    net = random_net("D")
    write_mat(tmp_path / "n.mat", layers_of(net), WNIDS, PIXEL, old=old)
    converted, mean = our_net(tmp_path / "n.mat", "D")
    assert equal(converted, net)
    assert mean == pytest.approx(PIXEL)
    assert read_released_net(tmp_path / "n.mat").wnids == tuple(WNIDS)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "state_dict"])
def test_torchvisions_nets_give_the_same_scores_on_pixels(tmp_path, kind):
    released = torchvision_like(random_net("E"))
    file = tmp_path / f"n.{'safetensors' if kind == 'safetensors' else 'pth'}"
    state = {name: tensor.contiguous() for name, tensor in released.state_dict().items()}
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in state.items()}} if kind == "state_dict" else state, file
        )
    converted, mean = our_net(file, "E")
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 56, 56)).astype(np.float32))
    column = (1, 3, 1, 1)
    with torch.inference_mode():
        normalised = (pixels / 255 - torch.tensor(MEAN).view(column)) / torch.tensor(STD).view(column)
        expected = released.classifier(released.features(normalised).flatten(1))
        scores = converted(pixels - torch.tensor(mean).view(column))
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_torchvisions_own_net_has_these_layers():
    from torchvision.models import vgg16

    with torch.device("meta"):
        of_torchvision, full = vgg16().state_dict(), VGG("D", 1000, NetSettings())
        ours = torchvision_like(full).state_dict()
    assert {name: tensor.shape for name, tensor in of_torchvision.items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }


def test_other_layouts_of_the_same_net_come_back_when_they_are_declared(tmp_path):
    net = random_net("D")
    layers = {name: (weight, bias) for name, weight, bias in layers_of(net)}
    weight, bias = layers["fc6"]
    layers["fc6"] = weight.reshape(len(weight), -1, 7, 7).transpose(0, 2, 3, 1).reshape(len(weight), -1), bias
    write_caffe(tmp_path / "n.caffemodel", [(name, *arrays) for name, arrays in layers.items()])
    assert equal(our_net(tmp_path / "n.caffemodel", "D", ReadingSettings(full="hwc"))[0], net)
    assert not equal(our_net(tmp_path / "n.caffemodel", "D")[0], net)


def broken(path: Path, kind: str) -> Path:
    """A file that is not what it should be."""
    net = random_net("D")
    file = path / {"cut": "n.caffemodel", "text": "t.caffemodel", "bn": "b.pth", "pickle": "p.pth"}.get(kind, "x.mat")
    if kind == "cut":
        write_caffe(file, layers_of(net))
        file.write_bytes(file.read_bytes()[:-5])
    elif kind == "text":
        file.write_text("name: 'VGG'")
    elif kind == "bn":
        torch.save({"features.0.weight": torch.ones(1), "features.1.running_mean": torch.ones(1)}, file)
    elif kind == "pickle":
        torch.save(Path("evil"), file)
    elif kind == "hdf5":
        file.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n")
    elif kind == "nan":
        layers = layers_of(net)
        layers[2] = (layers[2][0], layers[2][1] * np.nan, layers[2][2])
        write_mat(file, layers, WNIDS, PIXEL)
    else:
        write_mat(file, layers_of(net), ["cat", "dog", "cow", "ant"], PIXEL)
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "n.caffemodel: not a complete net of Caffe: cut short"),
        ("text", "t.caffemodel: not a complete net of Caffe"),
        ("bn", "b.pth: expected features.N and classifier.N .* a net with batch normalisation is not the paper's"),
        ("pickle", "p.pth: cannot be read as tensors of PyTorch"),
        (
            "hdf5",
            r"x.mat: is of MATLAB 7.3 \(HDF5\): load it in MATLAB and save it with -v7",
        ),
        ("nan", "x.mat: layer conv2_1 has weights that are not finite"),
        ("words", "x.mat: the names of its classes are no WNIDs, the first is 'cat'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, kind, message):
    with pytest.raises(ValueError, match=message):
        read_released_net(broken(tmp_path, kind))


STRIPES = ((0, 1), (1, 1), (2, 1), (1, 0))
"""Of each class: the colour of its stripes, and the side of an image along which they follow each other."""


def draw(folder: Path, per_class: dict[str, int]) -> Path:
    """Images in Tiny ImageNet's layout of which colour and direction of stripes say the class: a net has to see both."""
    rng = np.random.default_rng(1)
    (folder / "wnids.txt").parent.mkdir()
    (folder / "wnids.txt").write_text("".join(f"{name}\n" for name in WNIDS))
    (folder / "words.txt").write_text("".join(f"{name}\tstripes\n" for name in WNIDS))
    listed = []
    for split, count in per_class.items():
        for label, name in enumerate(WNIDS):
            for i in range(count):
                wave = np.sin(np.arange(64) * 0.8 + rng.uniform(0, 6)) * rng.uniform(80, 110)
                image, (colour, side) = 120 + rng.normal(0, 12, (64, 64, 3)), STRIPES[label]
                image[..., colour] += wave if side else wave[:, None]
                file = folder / (
                    "train/{0}/images/{0}_{1}.JPEG" if split == "train" else "val/images/val_{2}.JPEG"
                ).format(name, i, label * count + i)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, quality=95)
                listed.append(f"{file.name}\t{name}\t0\t0\t63\t63\n")
    (folder / "val/val_annotations.txt").write_text("".join(line for line in listed if line.startswith("val")))
    return folder


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("coloured")
    images = draw(root / "images", {"train": 4, "val": 25})
    return prepared(root, "tiny-imagenet", images, per_class=(4, 25))


@pytest.fixture(scope="module")
def knowing(coloured) -> tuple[VGG, tuple[float, float, float]]:
    """A net whose weights are set by hand so that it knows the stripes of each class, and the mean of its input.

    Feature k is the difference of neighbours across the stripes of class k, less three standard deviations of the noise.
    It counts up to 100; from 150 on, where the input is not scaled as it should be, it counts nothing.
    """
    net = VGG("A", 4, MODEL)
    state = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    for k, (colour, side) in enumerate(STRIPES):
        kernel = state["features.conv1_1.weight"][k, colour]
        (kernel[1] if side else kernel[:, 1])[[0, 2]] = torch.tensor([-0.5, 0.5])
        state["features.conv1_1.bias"][k] = -25
        for name in ("conv2_1", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2"):
            state[f"features.{name}.weight"][k, k, 1, 1] = 1
        state["fc6.weight"][[k, k + 4], 49 * k + 24] = 1  # the middle one of a channel's 7x7 places
        state["fc6.bias"][k + 4] = -100
        state["fc7.weight"][k, [k, k + 4]] = torch.tensor([1.0, -3.0])
        state["fc8.weight"][k, k] = 1
    net.load_state_dict(state)
    return net.eval(), Store(coloured[0]).colours.mean


def test_the_net_set_by_hand_knows_all_images_with_a_margin_that_no_rounding_turns(knowing, coloured):
    (net, mean), store = knowing, Store(coloured[1])
    crops = torch.from_numpy(np.stack([store.image(i)[4:60, 4:60] for i in range(len(store))])) - torch.tensor(mean)
    scores = net(crops.permute(0, 3, 1, 2)).detach().numpy()
    second, best = np.sort(scores)[:, -2:].T
    assert (scores.argmax(1) == store.labels).all()
    assert (best - second).min() > 10


@pytest.mark.parametrize("suffix", ["caffemodel", "pth"])
def test_every_other_reading_of_the_net_set_by_hand_is_wrong_on_half_of_the_images(knowing, coloured, tmp_path, suffix):
    net, mean = knowing
    if suffix == "pth":
        torch.save(torchvision_like(net).state_dict(), tmp_path / "n.pth")
    else:
        write_caffe(tmp_path / "n.caffemodel", layers_of(net))
    released, store = read_released_net(tmp_path / f"n.{suffix}"), Store(coloured[1])
    candidate = ReleasedCandidate(released, Run("A", "256"), MODEL, store, np.arange(4)[::-1], torch.device("cpu"), 0)
    errors = sorted(int(candidate.wrong(reading).sum()) for reading in candidate.readings())
    assert len(errors) == 32
    assert (errors[0], errors[1]) == (0, 50)


def adopt(file: Path, coloured, *more: str, run: str = "A_256_s0", reading: dict | None = None) -> int:
    model = [
        "--settings",
        '{"scale_unit": 8}',
        "--reading",
        json.dumps(reading or {}),
        "--out",
        str(file.parent / "run"),
    ]
    return cli.main(["adopt", run, str(file), *model, "--val", str(coloured[1]), "--device", "cpu", *more])


def test_a_net_is_adopted_as_a_run(knowing, coloured, tmp_path):
    net, mean = knowing
    write_mat(tmp_path / "n.mat", layers_of(net), WNIDS, mean)
    assert adopt(tmp_path / "n.mat", coloured) == 0
    weights = load_weights(tmp_path / "run/weights.safetensors")
    assert equal(weights.net(), net)
    assert (weights.run.name, weights.wnids, weights.model) == (
        "A_256_s0",
        tuple(WNIDS),
        MODEL.model_copy(update={"dropout": 0.5}),
    )
    assert weights.mean == pytest.approx(mean)
    record = json.loads((tmp_path / "run/adopted.json").read_text())
    assert (record["format"], record["reading"]["channels"], record["checked"]["images"]) == ("MatConvNet", "rgb", 100)
    assert record["checked"]["top-1 errors"] == 0


def test_how_a_net_was_trained_is_known_by_its_digest_or_else_declared(
    knowing, coloured, tmp_path, capsys, monkeypatch
):
    file, record = tmp_path / "n.pth", tmp_path / "run/adopted.json"
    torch.save({name: value.double() for name, value in torchvision_like(knowing[0]).state_dict().items()}, file)
    assert adopt(file, coloured) == 0
    assert [json.loads(record.read_text())[key] for key in ("trained by", "numbers")] == ["others", "fp64"]
    assert adopt(file, coloured, "--recipe", "torchvision") == 0
    assert json.loads(record.read_text())["trained by"] == "torchvision"
    by_hand = {"what": "a net", "by hand": "nowhere"}
    entries = {file_digest(file): Download.model_validate(by_hand | {"recipe": "the authors", "S": (256, 512)})}
    monkeypatch.setattr(released, "released_net", lambda sha1, sha256: entries.get(sha256))
    assert adopt(file, coloured) == 0
    assert [json.loads(record.read_text())[key] for key in ("trained by", "S")] == ["the authors", [256, 512]]
    entries = {file_digest(file): Download.model_validate(by_hand | {"recipe": "mmpretrain"})}
    assert adopt(file, coloured) == 0
    assert [json.loads(record.read_text())[key] for key in ("trained by", "S")] == ["mmpretrain", []]
    assert adopt(file, coloured, "--recipe", "torchvision") == 2
    assert (
        "it is a file of mmpretrain, by its digest: expected the recipe mmpretrain, got torchvision"
        in capsys.readouterr().err
    )


def test_outputs_in_an_order_of_their_own_are_brought_into_ours(knowing, coloured, tmp_path):
    net, mean = knowing
    order = [2, 0, 3, 1]
    layers = layers_of(net)
    layers[-1] = ("fc8", layers[-1][1][order], layers[-1][2][order])
    write_mat(tmp_path / "n.mat", layers, [WNIDS[i] for i in order], mean)
    assert adopt(tmp_path / "n.mat", coloured) == 0
    assert equal(load_weights(tmp_path / "run/weights.safetensors").net(), net)


WRONG = [
    ("channels", "rgb", "bgr"),
    ("input", "caffe", "torchvision"),
    ("classes", "devkit", "sorted"),
    ("full", "hwc", "chw"),
    ("kernels", "wh", "hw"),
]


@pytest.mark.parametrize(("name", "wrong", "right"), WRONG)
def test_a_wrong_reading_is_told_and_the_right_one_named(knowing, coloured, tmp_path, capsys, name, wrong, right):
    net, mean = knowing
    file, reading = tmp_path / "n.caffemodel", {"mean": mean}
    if name == "input":
        file = tmp_path / "n.pth"
        torch.save(torchvision_like(net).state_dict(), file)
        reading = {}
    else:
        write_caffe(file, layers_of(net))
    write_devkit(tmp_path / "devkit", Store(coloured[1]))
    by = ["--devkit", str(tmp_path / "devkit")]
    assert adopt(file, coloured, *by, reading=reading) == 0
    capsys.readouterr()
    for kept in (tmp_path / "run").iterdir():
        kept.unlink()
    assert adopt(file, coloured, *by, reading=reading | {name: wrong}) == 2
    message = capsys.readouterr().err
    assert f"{name} {wrong}" in message
    assert f"with {name} {right} it is" in message
    assert not list((tmp_path / "run").iterdir())


def test_two_things_wrong_at_once_are_both_named(knowing, coloured, tmp_path, capsys):
    net, mean = knowing
    write_caffe(tmp_path / "n.caffemodel", layers_of(net))
    assert adopt(tmp_path / "n.caffemodel", coloured, reading={"mean": mean, "channels": "rgb", "full": "hwc"}) == 2
    assert "with channels bgr, full chw it is" in capsys.readouterr().err


def test_a_net_that_knows_nothing_or_is_another_is_refused(coloured, tmp_path, capsys):
    write_caffe(tmp_path / "n.caffemodel", layers_of(random_net("D")))
    assert adopt(tmp_path / "n.caffemodel", coloured, run="D_256-512_s0") == 2
    assert "as by chance, and so they are with every other order of channels" in capsys.readouterr().err
    assert adopt(tmp_path / "n.caffemodel", coloured, run="E_256-512_s0") == 2
    assert "it has 16 layers with weights, E has 19: it is no E" in capsys.readouterr().err
    write_caffe(tmp_path / "n.caffemodel", layers_of(random_net("D", classes=5)))
    assert adopt(tmp_path / "n.caffemodel", coloured, run="D_256-512_s0") == 2
    assert "its fc8 has weights [5, 32], fc8 of D [4, 32]" in capsys.readouterr().err
    assert adopt(tmp_path / "n.caffemodel", coloured, run="D_256_pcr_s0") == 2


def test_released_nets_have_a_folder_of_their_own_and_train_nothing():
    one = load_settings({"released": {"D": "d.mat", "E": {"file": "e.pth", "input": "caffe", "mean": [1, 2, 3.5]}}})
    assert (one.folder, one.localisation) == ("paper-released", False)
    assert one.released["D"].file == "d.mat"
    assert one.released["E"].reading == ReadingSettings(input="caffe", mean=(1, 2, 3.5))
    with pytest.raises(ValueError, match="released: expected one seed, because these nets were trained once"):
        load_settings({"released": {"D": "d.mat"}, "seeds": [0, 1]})
    with pytest.raises(ValueError, match="for localisation both D and E"):
        load_settings({"released": {"D": "d.mat"}, "localisation": True})
    with pytest.raises(ValueError, match=r"released: no table evaluates A/\[256;512\]: .*A/256"):
        load_settings({"released": {"A": "a.mat"}})
