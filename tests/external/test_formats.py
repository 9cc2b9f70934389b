"""Files of nets that say more than they hold, or something else than a net: one message, and no memory."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from scipy.io import savemat

from vggrepro.core import limits
from vggrepro.data.matlab import read_mat
from vggrepro.external.arrays import read_npy, read_npz
from vggrepro.external.formats import read_released_net


@pytest.mark.parametrize(
    "content",
    [
        {"net": np.array([[1.0]])},
        {"net": "text"},
        {"layers": np.ones((3, 3))},
        {"net": {"layers": 1.0}},
        {"net": {"layers": np.array([[1.0, 2.0]])}},
        {"layers": np.empty((0, 0), object)},
        {"layers": np.array([{"weights": 3.0, "name": "x"}], object)},
    ],
    ids=str,
)
def test_a_mat_whose_fields_are_no_net_ends_with_a_message(tmp_path, content):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(ValueError, match="a.mat: "):
        read_released_net(tmp_path / "a.mat")


def test_a_mat_that_unpacks_to_much_more_than_it_has_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "TEXT_BYTES", 1000)
    zeros = zlib.compress(struct.pack("<II", 14, 10**7) + bytes(10**7))
    bomb = b" " * 124 + b"\x00\x01IM" + struct.pack("<II", 15, len(zeros)) + zeros
    with pytest.raises(
        ValueError, match="bomb.mat: cannot be read as MATLAB's: unpacks to more than 30 times its bytes"
    ):
        read_mat(io.BytesIO(bomb), "bomb.mat")


def test_an_honest_mat_passes(tmp_path):
    rng = np.random.default_rng(0)
    for compress in (False, True):
        savemat(tmp_path / "a.mat", {"x": rng.normal(size=(300, 300))}, do_compression=compress)
        with (tmp_path / "a.mat").open("rb") as file:
            assert read_mat(file, "a.mat")["x"].shape == (300, 300)


NETS = {
    "a list": {"state_dict": [1]},
    "numbers as names": {1: torch.zeros(1)},
    "text for a tensor": {"features.0.weight": "x", "features.0.bias": torch.zeros(1)},
    "a tensor of stride 0": {
        "features.0.weight": torch.zeros(1).expand(10**6, 10**6),
        "features.0.bias": torch.zeros(1),
        "classifier.0.weight": torch.zeros(1, 1),
        "classifier.0.bias": torch.zeros(1),
    },
    "a sparse tensor": {"features.0.weight": torch.eye(3).to_sparse(), "features.0.bias": torch.zeros(3)},
}


@pytest.mark.parametrize("kind", NETS)
def test_a_pth_that_holds_something_else_ends_with_a_message(tmp_path, kind):
    torch.save(NETS[kind], tmp_path / "p.pth")
    with pytest.raises(ValueError, match="p.pth: "):
        read_released_net(tmp_path / "p.pth")


def test_parameters_are_read_like_tensors(tmp_path):
    convolution, linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)
    layers = {"features.0": convolution, "classifier.0": linear}
    named = {f"{name}.{kind}": value for name, layer in layers.items() for kind, value in layer.named_parameters()}
    torch.save(named, tmp_path / "p.pth")
    with pytest.raises(ValueError, match="expected convolutions and three fully connected layers, got 2 layers"):
        read_released_net(tmp_path / "p.pth")


def test_a_packed_pth_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(10**6)}, tmp_path / "p.pth")
    with zipfile.ZipFile(tmp_path / "p.pth") as whole, zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as bomb:
        for name in whole.namelist():
            bomb.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match="its parts are compressed"):
        read_released_net(tmp_path / "bomb.pth")


def a_header(shape: tuple[int, ...], follow: int) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(follow)


@pytest.mark.parametrize(("shape", "follow"), [((10**12,), 8), ((3, 3), 64), ((3, 3), 80), ((10**9, 10**9), 0)])
def test_a_header_that_says_another_size_than_follows_is_refused(tmp_path, shape, follow):
    (tmp_path / "a.npy").write_bytes(a_header(shape, follow))
    with pytest.raises(ValueError, match=r"a.npy: not arrays .* its header says float64"):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", 8) as archive:
        archive.writestr("p.npy", a_header(shape, follow))
    with pytest.raises(ValueError, match=r"a.npz: not arrays .* its header says float64"):
        read_npz(tmp_path / "a.npz")


def test_an_npz_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", p=np.zeros((100, 100)))
    monkeypatch.setattr(limits, "ARRAY_BYTES", 1000)
    with pytest.raises(ValueError, match="a.npz: unpacks to 80,128 bytes, expected at most 1,000"):
        read_npz(tmp_path / "a.npz")


def test_another_file_in_an_npz_is_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", p=np.ones((3, 3)))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "x")
    assert list(read_npz(tmp_path / "a.npz")) == ["p"]
