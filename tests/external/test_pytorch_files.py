"""A net in a checkpoint of PyTorch is found whatever wraps it and stands before its names; what is no net is named."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vggrepro.external.formats import read_released_net

State = dict[str, torch.Tensor]
SHAPES = {"features.0": (4, 3, 3, 3), "features.2": (4, 4, 3, 3), "features.5": (8, 4, 3, 3)}
SHAPES |= {"classifier.0": (6, 392), "classifier.3": (6, 6), "classifier.6": (5, 6)}


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    pairs = [(name, torch.randn(shape), torch.randn(shape[0])) for name, shape in SHAPES.items()]
    return {f"{n}.{kind}": value for n, weight, bias in pairs for kind, value in (("weight", weight), ("bias", bias))}


def renamed(change: Callable[[str], str]) -> Callable[[State], State]:
    return lambda state: {change(name): value for name, value in state.items()}


def timm(state: State) -> State:
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    shapes = {"pre_logits.fc1.weight": (6, 8, 7, 7), "pre_logits.fc2.weight": (6, 6, 1, 1)}
    theirs = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        new = f"{names.get(stem, stem)}.{kind}"
        theirs[new] = value.reshape(shapes.get(new, value.shape))
    return theirs


NAMES: dict[str, Callable[[State], State]] = {
    "plain": dict,
    "module": renamed("module.{}".format),
    "compiled": renamed("_orig_mod.{}".format),
    "compiled and parallel": renamed("module._orig_mod.{}".format),
    "Lightning": renamed("model.{}".format),
    "deep": renamed("model.net.backbone.{}".format),
    "features in parallel": renamed(lambda name: name.replace("features.", "features.module.")),
    "compiled parts": renamed(lambda name: name.replace("classifier.", "classifier._orig_mod.")),
    "old classifier": renamed(
        lambda n: n.replace("classifier.3", "classifier.4").replace("classifier.0", "classifier.1")
    ),
    "timm": timm,
    "timm in parallel": lambda state: renamed("module.{}".format)(timm(state)),
    "MMPretrain": renamed(lambda name: "backbone." + re.sub(r"(features\.\d+)", r"\1.conv", name)),
    "half precision": lambda state: {name: value.half() for name, value in state.items()},
    "double precision": lambda state: {name: value.double() for name, value in state.items()},
    "parameters": lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()},
}
WRAPPED: dict[str, Callable[[State], Any]] = {
    "alone": lambda net: net,
    "state_dict": lambda net: {"state_dict": net, "epoch": 90, "arch": "vgg16", "best_acc1": torch.tensor(71.6)},
    "a NumPy number": lambda net: {"state_dict": net, "best_acc1": np.float64(71.6)},
    "model": lambda net: {"model": net, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 89},
    "options": lambda net: {"model": net, "args": argparse.Namespace(lr=0.1, data="x")},
    "model_state_dict": lambda net: {"model_state_dict": net},
    "net": lambda net: {"net": net, "acc": 70.0},
    "MMPretrain's": lambda net: {"meta": {"mmcls_version": "0.9.0", "CLASSES": ["a", "b"]}, "state_dict": net},
    "twice": lambda net: {"model": {"module": net}},
    "with an equal average": lambda net: {"model": net, "model_ema": dict(net)},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("names", NAMES)
def test_every_name_in_every_wrapper_is_the_same_net(state, tmp_path, names, wrapped):
    for ending in ("pth", "pth.tar", "ckpt", "bin"):
        torch.save(WRAPPED[wrapped](NAMES[names](state)), tmp_path / f"n.{ending}")
        layers = read_released_net(tmp_path / f"n.{ending}").layers
        assert [layer.weight.size for layer in layers] == [np.prod(shape) for shape in SHAPES.values()]
        for layer, stem in zip(layers, SHAPES, strict=True):
            exact = {"rtol": 1e-3} if names == "half precision" else {"rtol": 0}
            np.testing.assert_allclose(layer.weight.ravel(), state[f"{stem}.weight"].numpy().ravel(), **exact)
            np.testing.assert_allclose(layer.bias, state[f"{stem}.bias"].numpy(), **exact)


@pytest.mark.parametrize("names", ["plain", "module", "timm"])
def test_safetensors_and_pytorchs_old_files_are_read_too(state, tmp_path, names):
    save_file({name: value.contiguous() for name, value in NAMES[names](state).items()}, tmp_path / "n.safetensors")
    torch.save(NAMES[names](state), tmp_path / "n.pt", _use_new_zipfile_serialization=False)
    for file in ("n.safetensors", "n.pt"):
        assert len(read_released_net(tmp_path / file).layers) == len(SHAPES)


def averaged(state: State) -> dict[str, State]:
    return {"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><title>Virus scan warning</title>", "a web page, not a net"),
        (b"\n  <html>", "a web page, not a net"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n", "a pointer of Git LFS"),
        (b'{"error": "not found"}', "JSON, not a net"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear, a whole object and not tensors alone"),
        (averaged, r"has several nets that differ, below model/ and model_ema/"),
        ({"features.0.weight": torch.ones(1)}, "expected features.N and classifier.N"),
        ({"conv1.weight": torch.ones(1)}, "got conv1.weight"),
        ([1, 2], "got a list"),
        (b"PK\x03\x04" + bytes(50), "damaged, cut short, or no checkpoint"),
    ],
)
@pytest.mark.parametrize("ending", ["pth", "caffemodel", "mat", "safetensors"])
def test_what_is_no_net_is_named_and_unsafe_advice_is_not_passed_on(state, tmp_path: Path, content, message, ending):
    file = tmp_path / f"n.{ending}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content(state) if content is averaged else content, file)
    with pytest.raises(ValueError, match=message) as caught:
        read_released_net(file)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "place"), [("MMPretrain", "backbone.features.0.bn"), ("plain", "features.1"), ("timm", "features.1")]
)
@pytest.mark.parametrize("with_statistics", [True, False])
def test_a_net_with_batch_normalisation_is_refused_by_that_name(state, tmp_path, names, place, with_statistics):
    added = {"weight": torch.ones(4), "bias": torch.ones(4)}
    if with_statistics:
        added |= {"running_mean": torch.zeros(4), "running_var": torch.ones(4), "num_batches_tracked": torch.tensor(3)}
    net = NAMES[names](state) | {f"{place}.{kind}": value for kind, value in added.items()}
    torch.save({"state_dict": net}, tmp_path / "n.pth")
    with pytest.raises(ValueError, match="batch normalisation"):
        read_released_net(tmp_path / "n.pth")


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(torch.float32, "fp32"), (torch.float16, "fp16"), (torch.bfloat16, "bf16"), (torch.float64, "fp64")],
)
def test_what_numbers_are_kept_in_is_told(state, tmp_path, kind, numbers):
    one = dict.fromkeys(["features.5.weight"], state["features.5.weight"].to(kind))
    torch.save(state | one if kind != torch.float64 else {n: v.to(kind) for n, v in state.items()}, tmp_path / "n.pth")
    assert read_released_net(tmp_path / "n.pth").numbers == numbers


def test_a_quantised_net_is_refused(state, tmp_path):
    torch.save(state | {"features.2.weight": torch.ones(4, 4, 3, 3, dtype=torch.int8)}, tmp_path / "n.pth")
    with pytest.raises(ValueError, match=r"features.2.weight: expected floating-point numbers, got torch.int8"):
        read_released_net(tmp_path / "n.pth")
