"""A net in a checkpoint of PyTorch: the dictionary whose names end in `features.N` and `classifier.N`, whatever wraps it.

Frameworks put the net into `state_dict`, `model`, ...; `module.`, `_orig_mod.`, `model.` may stand before names or between.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.core.printable import shortened

NamedLayer = tuple[str, NDArray[np.float32], NDArray[np.float32]]
"""A layer's name, weights and biases."""
TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
"""timm's names of the fully connected layers, and torchvision's."""
NAME = re.compile(
    r"(?P<before>(?:[A-Za-z_]\w*\.)*?)(?P<part>features|classifier)\.(?:[A-Za-z_]\w*\.)*(?P<number>\d+)\."
    r"(?:[A-Za-z_]\w*\.)*(?P<kind>\w+)"
)
"""A parameter of a net in torchvision's layout."""
DEEPEST = 8
"""Dictionaries within each other that are looked into."""


EXPECTED = "expected features.N and classifier.N as of torchvision's VGG"


def read_pytorch_net(path: Path) -> tuple[list[NamedLayer], str]:
    """The layers of the net in a checkpoint, in their order, and what its numbers are kept in: fp32, fp16, ...

    Raises ValueError where it has no net, several, or a damaged one.
    """
    content = _load(path)
    parts = {"features", "classifier"}
    nets = {where: net for where, net in _nets(content, "") if {name.split(".")[0] for name in net} == parts}
    if not nets:
        got = _first_names(content)
        raise ValueError(f"{path}: {EXPECTED}, got {', '.join(got) or 'none'}{_hint(got)}")
    (where, net), *others = nets.items()
    if different := [other for other, tensors in others if not _are_equal(tensors, net)]:
        names = f"below {where or 'no name'} and {different[0] or 'no name'}"
        raise ValueError(f"{path}: has several nets that differ, {names}: save the one to read alone")
    return _layers(net, path), _coarsest(net)


def _coarsest(net: dict[str, Any]) -> str:
    """The arithmetic of the tensors that are kept with the fewest digits."""
    import torch

    kinds = [tensor.dtype for tensor in net.values()]
    names = {torch.float64: "fp64", torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
    coarsest = max(kinds, key=lambda kind: float(torch.finfo(kind).eps))
    return names.get(coarsest, str(coarsest).removeprefix("torch."))


def _layers(net: dict[str, Any], path: Path) -> list[NamedLayer]:
    if odd := [name for name in net if not re.fullmatch(r"\w+\.\d+\.(weight|bias)", name)]:
        raise ValueError(f"{path}: {EXPECTED}, got {odd[0]}{_hint(odd)}")
    stems = {name.rpartition(".")[0] for name in net}
    ordered = sorted(stems, key=lambda stem: (stem.startswith("classifier"), int(stem.split(".")[1])))
    if incomplete := [stem for stem in ordered if not {f"{stem}.weight", f"{stem}.bias"} <= set(net)]:
        raise ValueError(f"{path}: {incomplete[0]} lacks its weights or its biases")
    weights, biases = (
        [_numbers(net[f"{s}.{kind}"], f"{path}: {s}.{kind}") for s in ordered] for kind in ("weight", "bias")
    )
    return list(zip(ordered, weights, biases, strict=True))


def _nets(content: Any, where: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    """Every net in nested dictionaries: what stands before its names, and its tensors by torchvision's names."""
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    nets: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _nets(value, f"{where}{name}/", depth + 1)
        elif isinstance(name, str) and (match := NAME.fullmatch(_as_torchvision(name))) is not None:
            standard = f"{match['part']}.{match['number']}.{match['kind']}"
            net = nets.setdefault(where + match["before"], {})
            # a convolution and its normalisation may share a number
            net[f"{standard}, twice: {name}" if standard in net else standard] = value
    yield from nets.items()


def _as_torchvision(name: str) -> str:
    for theirs, ours in TIMM.items():
        name = re.sub(rf"(^|\.){re.escape(theirs)}\.", rf"\g<1>{ours}.", name)
    return name


def _hint(names: list[str]) -> str:
    normalised = any(re.search(r"running_mean|\b(bn|norm)\d*\.", name) for name in names)
    return ": a net with batch normalisation is not the paper's" if normalised else ""


def _first_names(content: Any) -> list[str]:  # noqa: ANN401
    return (
        [shortened(name).strip("'") for name in list(content)[:3]]
        if isinstance(content, Mapping)
        else [f"a {type(content).__name__}"]
    )


def _are_equal(tensors: dict[str, Any], others: dict[str, Any]) -> bool:
    import torch

    if tensors.keys() != others.keys():
        return False
    pairs = [(tensors[name], others[name]) for name in tensors]
    return all(_are_stored(a) and _are_stored(b) and torch.equal(a, b) for a, b in pairs)


def _are_stored(tensor: Any) -> bool:  # noqa: ANN401
    """Whether all numbers of a dense tensor are in its file: with a stride of 0, a kilobyte may say that it has terabytes."""
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


# Reading. Nothing is unpickled but tensors and numbers, and the namespaces in which programs keep their options.


def _load(path: Path) -> Any:  # noqa: ANN401
    import torch
    from safetensors.torch import load_file

    with path.open("rb") as file:
        is_pickled = file.read(2).startswith((b"PK", b"\x80"))
    try:
        if not is_pickled:
            return load_file(path)
        _check_stored(path)
        # an open file, because torch believes the ending of a name
        with path.open("rb") as file, torch.serialization.safe_globals(_harmless()):
            return torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for other files
        raise ValueError(f"{path}: cannot be read as tensors of PyTorch: {_problem(str(error))}") from None


def _harmless() -> list[Any]:
    """Types that hold numbers or options and run nothing, which programs save beside a net."""
    import argparse

    import numpy._core.multiarray as arrays

    kinds: list[Any] = [argparse.Namespace, np.dtype, arrays.scalar, (arrays.scalar, "numpy.core.multiarray.scalar")]
    return kinds + [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"]


def _problem(error: str) -> str:
    """What is wrong, in our words: torch's own advise to read the file in a way in which it may run anything."""
    if match := re.search(r"(?:GLOBAL |class |global:? )`?'?([\w.]+\.[\w.]+)", error):
        return (
            f"it holds a {match[1]}, a whole object and not tensors alone; to read it would run what it says. Where it was "
            "made, save the tensors: torch.save(model.state_dict(), FILE)"
        )
    if "TorchScript" in error:
        return "it is a TorchScript module: where it was made, save its tensors: torch.save(model.state_dict(), FILE)"
    if "its parts are compressed" in error or "header" in error.lower():
        return error.splitlines()[0]
    return "damaged, cut short, or no checkpoint: fetch it again"


def _check_stored(path: Path) -> None:
    """A ValueError for a .pth whose parts are packed: torch stores them as they are, a bomb does not."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("its parts are compressed, which torch does not do: save it again with torch.save")


def _numbers(tensor: Any, where: str) -> NDArray[np.float32]:  # noqa: ANN401
    """A tensor's numbers; a ValueError for what is none, and for one with more numbers than are stored."""
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise ValueError(f"{where}: expected a dense tensor, got a {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise ValueError(f"{where}: expected floating-point numbers, got {tensor.dtype}: a quantised net is not read")
    if not _are_stored(tensor):
        raise ValueError(f"{where}: has the shape {list(tensor.shape)}, but the file does not hold so many numbers")
    numbers: NDArray[np.float32] = tensor.detach().float().numpy()
    return numbers
