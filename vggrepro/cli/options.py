"""Arguments that several commands share, and how their texts become values.

The help of every command imports this: what is heavy (pydantic, torch) is imported where a value is made with it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, TypeVar

from cyclopts import Parameter

from vggrepro.core.text import parse_json
from vggrepro.paper.runs import Run

if TYPE_CHECKING:
    import torch
    from cyclopts import Token
    from pydantic import BaseModel

    from vggrepro.core.instructions import Instructions
    from vggrepro.settings.blocks import EvaluateSettings
    from vggrepro.settings.models import Settings

_T = TypeVar("_T")
_Block = TypeVar("_Block", bound="BaseModel")


def about(text: str, **more: Any) -> Parameter:  # noqa: ANN401
    """What the help says of an argument."""
    return Parameter(help=text, **more)


def _read_with(read: Callable[[str], _T]) -> Callable[[type, Sequence[Token]], _T]:
    """A converter of cyclopts from a function of a text, whose ValueError becomes the user's message."""
    return lambda _, tokens: read(tokens[-1].value)


def _number(text: str, *, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise ValueError(f"expected a number of at least {least}, got {text!r}")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected numbers with commas between, such as 224,256; got {text!r}") from None


def path_or_none(_: type, tokens: Sequence[Token]) -> Path | None:
    """A converter of cyclopts that tells no path from the folder that one is in."""
    return Path(tokens[-1].value) if tokens[-1].value else None


def existing_folder(_: type, tokens: Sequence[Token]) -> Path:
    """A converter of cyclopts for a folder to read, because what is made from a mistyped one is empty and looks right."""
    path = Path(tokens[-1].value)
    if not path.is_dir():
        problem = "expected a folder, got a file" if path.exists() else "no such folder"
        raise ValueError(f"{path}: {problem}: name the one to read")
    return path


_RUN = {"converter": _read_with(Run.parse), "n_tokens": 1, "accepts_keys": False}
_SCALES = {"converter": _read_with(_numbers), "n_tokens": 1, "consume_multiple": False}

Count = Annotated[int, Parameter(converter=_read_with(partial(_number, least=0)))]
Positive = Annotated[int, Parameter(converter=_read_with(partial(_number, least=1)))]
RunName = Annotated[Run, about("name of a run, such as D_256_s0", **_RUN)]
Scales = Annotated[tuple[int, ...], about("test scales Q, such as 224,256,288", **_SCALES)]
SettingsText = Annotated[str, about("JSON of all settings, or a preset (paper, tiny, smoke)")]
EvaluateText = Annotated[str, about("the evaluate block of the settings as JSON, or a preset")]
TransferText = Annotated[str, about("the transfer block of the settings as JSON, or a preset")]
ValStore = Annotated[Path, about("prepared validation store")]
ScoresFolder = Annotated[Path, about("folder of the score stores", converter=existing_folder)]
BoxesFolder = Annotated[Path, about("folder of the box stores", converter=existing_folder)]
ResultsFolder = Annotated[Path, about("folder of results, such as results/smoke", converter=existing_folder)]
Threads = Annotated[Positive, about("CPU threads, for arithmetic and for reading images")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a net runs."""

    threads: Threads = 1
    device: Annotated[str, about("auto (a GPU where there is one), cpu, cuda, cuda:1")] = "auto"

    def start_torch(
        self,
        precision: str,
        *,
        instructions: Instructions = "fastest",
        processes: int = 1,
        same_shapes: bool = False,
    ) -> torch.device:
        """Set torch's threads and arithmetic, and choose the device; a ValueError if that device is not there.

        `instructions`: a GPU has none that other machines share, so that with `avx2` the device `auto` is the CPU.
        `same_shapes`: all batches have one shape, so that cuDNN may try out algorithms; an evaluation has thousands of shapes.
        """
        import torch

        from vggrepro.core import devices

        devices.set_cpu_arithmetic(self.threads)
        # by default torch lets convolutions drop 13 bits of an fp32 mantissa on a GPU
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = same_shapes
        name = "cpu" if self.device == "auto" and instructions == "avx2" else self.device
        return devices.choose_device(name, processes)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a step reads its stores from."""

    stage: Annotated[
        str | None,
        about("folder on a disk of this machine that stores are copied to, and kept in; it may hold variables"),
    ] = None
    stage_gb: Annotated[float | None, about("most GB of all stores there; as many as the disk has, if not given")] = (
        None
    )

    @contextmanager
    def stores(self, *folders: Path, workers: int) -> Iterator[list[Path]]:
        """The folders to read stores from while the block runs; a ValueError where a fresh copy is damaged."""
        if self.stage is None:
            yield list(folders)
            return
        from vggrepro.data.staging import Staging

        place = os.path.expandvars(self.stage)
        if "$" in place or not place.startswith("/"):
            raise ValueError(
                f"--stage {self.stage}: expected the whole path of a folder, and variables that are set here"
            )
        limit = math.inf if self.stage_gb is None else self.stage_gb * 1e9
        staging = Staging(Path(place), limit, workers)
        with ExitStack() as stack:
            yield [stack.enter_context(staging.store(folder)) for folder in folders]


NO_STAGE = Stage()


class _ForwardArguments(TypedDict):
    settings: EvaluateSettings
    weights_file: Path
    out: Path
    device: torch.device
    workers: int


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ForwardStep(Machine):
    """What every step takes that runs a trained net."""

    settings: EvaluateText = "{}"
    weights: Annotated[Path, about("weights.safetensors of the run")]
    out: Annotated[Path, about("folder to write to")]

    def start(self) -> _ForwardArguments:
        """Start torch; the arguments of the function that does the step."""
        from vggrepro.settings.blocks import EvaluateSettings

        settings = read_block(self.settings, EvaluateSettings, lambda preset: preset.evaluate)
        device = self.start_torch(settings.precision, instructions=settings.instructions)
        return {
            "settings": settings,
            "weights_file": self.weights,
            "out": self.out,
            "device": device,
            "workers": self.threads,
        }


def json_option(text: str, option: str = "--settings") -> dict[str, Any]:
    """An option's JSON; a ValueError that names the option where it is none."""
    try:
        value: dict[str, Any] = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{option}: no JSON: {error}, got {text[:60]!r}") from None
    return value


def read_settings(text: str) -> Settings:
    """All settings, from JSON or from the name of a preset."""
    from vggrepro.settings.loading import load_settings

    return load_settings(json_option(text) if _is_json(text) else {"preset": text})


def read_block(text: str, kind: type[_Block], block_of: Callable[[Settings], _Block]) -> _Block:
    """A block of the settings: from its own JSON, or that of a preset."""
    from vggrepro.core.validation import validated

    return validated(kind, json_option(text), "--settings") if _is_json(text) else block_of(read_settings(text))


def instructions_in(text: str) -> Instructions:
    """The instructions that the text of settings asks for: of all of them, of a block, or of a preset."""
    values = json_option(text) if _is_json(text) else {"preset": text}
    if {"preset", "smoke"} & values.keys():
        return read_settings(text).instructions
    return "avx2" if values.get("instructions") == "avx2" else "fastest"


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{")
