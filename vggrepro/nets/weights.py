"""Weights on disk: safetensors, whose header holds all that is needed to use them. Nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vggrepro.core.files import atomic_file, checked
from vggrepro.core.validation import validated
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import NetSettings


@dataclass(frozen=True)
class Weights:
    """A trained run, as read from its file."""

    run: Run
    model: NetSettings
    wnids: tuple[str, ...]
    """The classes in the order of the net's outputs: each has a score, or a box (PCR)."""
    mean: tuple[float, float, float]
    """Mean RGB of the training set, 0-255, which is subtracted from images."""
    tensors: dict[str, Tensor]
    """By the parameters' names in a `VGG`."""

    def net(self) -> VGG:
        """The net with these weights, in evaluation mode."""
        # on the meta device, so that no random weights are drawn to be thrown away, and the file's are not copied
        with torch.device("meta"):
            net = VGG(self.run.net, self.run.outputs(len(self.wnids)), self.model)
        net.load_state_dict(self.tensors, assign=True)
        return net.eval()

    def net_on(self, device: torch.device) -> VGG:
        """The net on a device, in channels-last memory, in which convolutions are fastest."""
        net: VGG = self.net().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net


def save_weights(path: Path, net: VGG, run: Run, mean: tuple[float, float, float], wnids: list[str]) -> None:
    """Write the weights of a run atomically."""
    about = {"run": run.name, "model": net.model.model_dump(), "wnids": wnids, "mean": mean}
    with atomic_file(path) as temporary:
        write_tensors(temporary, net.state_dict(), {"vggrepro": json.dumps(about)})


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    """Write a safetensors file, `about` in its header; an OSError where the disk is full."""
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path, about)
    except SafetensorError as error:
        raise OSError(
            f"{path} cannot be written: {error}. Make room, then the same command goes on where it stopped"
        ) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors in a safetensors file of ours, and what `write_tensors` put in its header; a ValueError as of `checked`."""
    with checked(path, "train the run again"):
        try:
            with safe_open(path, "pt") as file:
                about = (file.metadata() or {}).get("vggrepro")
                return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise ValueError(str(error)) from None


def load_weights(path: Path) -> Weights:
    """Read the weights of a run; a ValueError that names the file where they are missing, damaged or not ours."""
    tensors, about = read_tensors(path)
    if about is None:
        raise ValueError(f"{path}: its header does not say which net it holds: expected a file that vggrepro wrote")
    try:
        header = json.loads(about)
        run, wnids, mean = Run.parse(header["run"]), tuple(header["wnids"]), tuple(header["mean"])
        weights = Weights(run, validated(NetSettings, header["model"], str(path)), wnids, mean, tensors)
        weights.net()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: its header and its weights do not fit together: {error}") from None
    return weights
