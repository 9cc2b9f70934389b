"""Variants of the paper's runs: runs of the user's own in which some settings differ. No torch.

A variant sets what differs and nothing else, so that its other settings are those of the run that it varies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, create_model, model_serializer
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from vggrepro.core.printable import shortened
from vggrepro.core.validation import FrozenModel
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.nets import NETS
from vggrepro.paper.runs import OBJECTIVES, Run, file_name
from vggrepro.paper.systems import PROTOCOLS
from vggrepro.settings.blocks import (
    BoxTargets,
    EvaluateSettings,
    FinetuneSettings,
    LocaliseSettings,
    MergeSettings,
    NetLayers,
    NetSettings,
    TrainSettings,
)
from vggrepro.settings.fields import RowName

NOTHING = "nothing"
"""What a variant begins with that begins with random weights."""
TAKEN = {file_name(name) for name in (*NETS, *OBJECTIVES, *PROTOCOLS, "fc", NOTHING)}
"""Names that mean something else where a run is written, or in its file name."""
NOT_OF_A_VARIANT = ("scale_unit", "layers")
"""Settings of nets that no variant has here: images are prepared and boxes scored for all alike, and `net` sets the layers."""


def _variant_name(name: str) -> str:
    if not file_name(name) or {"/", "(", ")"} & set(name):
        raise ValueError(f"expected a name with a letter of a-z or a digit in it, without / and brackets, got {name!r}")
    if file_name(name) in TAKEN:
        raise ValueError(f"{name!r} is a name that the paper has: call the variant by what differs in it")
    return name


VariantName = Annotated[RowName, AfterValidator(_variant_name)]
"""The name of a variant, which also stands in file names."""


class Changes(FrozenModel):
    """Some settings of a block: those that are set."""

    # fields get their descriptions from the block's: looking for these in a source would take a tenth of a second
    model_config = ConfigDict(use_attribute_docstrings=False)

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name in self.model_fields_set}


@cache
def changes_of(block: type[FrozenModel], without: tuple[str, ...] = ()) -> type[Changes]:
    """The settings of a block, none of which has to be set."""
    fields: dict[str, Any] = {
        name: (Annotated[field.annotation, *field.metadata], Field(default=None, description=field.description))
        for name, field in block.model_fields.items()
        if name not in without
    }
    return create_model(f"ChangesOf{block.__name__}", __base__=Changes, __doc__=block.__doc__, **fields)


BLOCKS = ("train", "finetune", "localise", "boxes", "model", "evaluate", "merge")
"""The blocks of settings that a variant may change."""


class SweepSettings(FrozenModel):
    """The sweep that a variant is a point of."""

    name: str
    """As the user calls it."""
    key: str
    """Of the setting that is swept, such as `train.weight_decay`."""


def _as_tuple(value: Any) -> Any:  # noqa: ANN401
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class VariantSettings(FrozenModel):
    """A run, or several, in which some settings differ."""

    model_config = ConfigDict(serialize_by_alias=True)

    of: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """The run that it varies, as the paper writes it, such as `C/256`, `D-fc/[256;512]` or `D-PCR/384`; or a list of runs."""
    begins: Annotated[str | None, Field(alias="from")] = None
    """What it is initialised from: a run, the name of a variant, `C (its name)/256` of a variant of several runs, or
    `nothing`. Not set: as the run that it varies; of several runs, from each other where those are."""
    net: NetLayers | None = None
    """A net of one's own, as a list of layers in place of those of Table 1: a number of channels is a 3x3 convolution,
    conv5-64 one of 5x5, M a pooling, LRN, BN batch normalisation, GAP at the end an average in place of two FC layers."""
    sweep: SweepSettings | None = None
    """Set by the program, where a list of values or a range was given for a key."""
    train: changes_of(TrainSettings) | None = None  # type: ignore[valid-type]
    """What differs in its training from scratch, and in what later stages take over from there."""
    finetune: changes_of(FinetuneSettings) | None = None  # type: ignore[valid-type]
    """What differs in its training at any S but 256, such as 384 and [256;512]."""
    localise: changes_of(LocaliseSettings) | None = None  # type: ignore[valid-type]
    """What differs in its training to predict boxes."""
    boxes: changes_of(BoxTargets) | None = None  # type: ignore[valid-type]
    """What differs in its targets for boxes."""
    model: changes_of(NetSettings, NOT_OF_A_VARIANT) | None = None  # type: ignore[valid-type]
    """What differs in the size of its net."""
    evaluate: changes_of(EvaluateSettings) | None = None  # type: ignore[valid-type]
    """What differs in its evaluations."""
    merge: changes_of(MergeSettings) | None = None  # type: ignore[valid-type]
    """What differs in how its boxes are merged."""

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of the paper that it varies, with seed 0. Raises ValueError for a text that is no run."""
        return tuple(map(Run.parse_label, self.of))

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """The settings that differ, by block: values for JSON."""
        own = {"model": {"layers": list(self.net)}} if self.net else {}
        for block in BLOCKS:
            if isinstance(changes := getattr(self, block), Changes):
                own[block] = own.get(block, {}) | changes.model_dump(mode="json")
        return own

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The blocks and names of the settings that differ."""
        return [(block, name) for block, values in self.changes.items() for name in values]


def read_variants(written: Any) -> Any:  # noqa: ANN401
    """Variants as the user wrote them, or the YAML file that holds them, with every sweep as the variants that it stands for.

    What is no variant stays as it is, for the check that follows. Raises ValueError for a file that cannot be read, and for a
    sweep that is none.
    """
    if isinstance(written, str):
        path = Path(written)
        if not path.is_file():
            raise ValueError(f"config: variants: there is no file {path.absolute()}: name a YAML file with variants, or write "
                             "them as {name: {of: C/256, train: {weight_decay: 1e-4}}}")  # fmt: skip
        written = read_yaml(path)
        if not isinstance(written, dict):
            raise ValueError(f"config: variants: {path}: expected names and variants, got {shortened(written)}")
    if not isinstance(written, Mapping):
        return written
    expanded: dict[str, Any] = {}
    for name, variant in written.items():
        for each, values in _points(str(name), variant):
            if each in expanded:
                raise ValueError(f"config: variants: {each!r} is a variant and a value of a sweep: rename one")
            expanded[each] = values
    return expanded


def _points(name: str, variant: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The variant itself, or a variant for every value of the key that is swept."""
    given = variant if isinstance(variant, Mapping) else {}
    blocks = {block: given[block] for block in BLOCKS if isinstance(given.get(block), Mapping)}
    swept = [
        (block, key)
        for block, values in blocks.items()
        for key, value in values.items()
        if _is_swept(block, key, value)
    ]
    if not swept:
        yield name, variant
        return
    keys = [".".join(each) for each in swept]
    if len(swept) > 1:
        raise ValueError(
            f"config: variants.{name}: {' and '.join(keys)} have several values: expected them for one key"
        )
    (block, key), where = swept[0], f"variants.{name}.{keys[0]}"
    for value in _values(where, blocks[block][key]):
        point = {**variant, block: {**blocks[block], key: value}, "sweep": {"name": name, "key": keys[0]}}
        yield f"{name} {_value_text(value)}", point


def _is_swept(block: str, key: str, value: Any) -> bool:  # noqa: ANN401
    """Whether a value stands for several: a range, or a list where the setting is none itself."""
    kind = VariantSettings.model_fields[block].annotation
    model = next(each for each in get_args(kind) if each is not type(None))
    field = getattr(model, "model_fields", {}).get(key)
    is_list = field is not None and "tuple" in str(field.annotation)
    if isinstance(value, list | tuple):
        return not is_list or any(isinstance(each, list | tuple) or each is None for each in value)
    return isinstance(value, Mapping)


def _values(where: str, written: Any) -> Sequence[Any]:  # noqa: ANN401
    """The values of a sweep, from a list or a range such as `{from: 1e-5, to: 1e-3, times: 10}`, or `step`."""
    if not isinstance(written, Mapping):
        values = list(written)
    else:
        try:
            (low, high), (how,) = (float(written["from"]), float(written["to"])), set(written) - {"from", "to"}
            by = float(written[how])
            ok = low < high and (by > 0 if how == "step" else how == "times" and by > 1 and low > 0)
            count = (high - low) / by if how == "step" else math.log(high / low) / math.log(by)
            if not (ok and count < MOST_POINTS):
                raise ValueError
        except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
            raise ValueError(
                f"config: {where}: expected a value, a list of values, or a range of at most {MOST_POINTS} of them such as "
                f"{{from: 1e-5, to: 1e-3, times: 10}} or {{from: 1, to: 9, step: 2}}, got {shortened(dict(written))}"
            ) from None
        steps = range(int(count + 1e-9) + 1)
        values = [_plain(low + i * by if how == "step" else low * by**i) for i in steps]
    if len(values) < 2:
        raise ValueError(f"config: {where}: expected at least two values for a sweep, got {shortened(values)}")
    if repeated := [text for text, count in Counter(map(_value_text, values)).items() if count > 1]:
        raise ValueError(f"config: {where}: the sweep has the value {repeated[0]} twice: leave one out")
    return values


MOST_POINTS = 100
"""Of a sweep: each is a training."""


def _plain(value: float) -> float | int:
    """A value of a range without the noise of floats, whole where it is."""
    rounded = float(f"{value:.10g}")
    return int(rounded) if rounded.is_integer() else rounded


def _value_text(value: Any) -> str:  # noqa: ANN401
    """A value in a variant's name: `0.0001`, `true`, `2,4`."""
    if isinstance(value, list | tuple):
        return ",".join(map(_value_text, value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


STAGE_BLOCKS: dict[str, type[FrozenModel]] = {
    "train": TrainSettings,
    "finetune": FinetuneSettings,
    "localise": LocaliseSettings,
}
"""The blocks of the stages of training."""


def deciding_key(block: str, key: str, run: Run) -> str:
    """For a message: what decides in place of a key that has no part in a run."""
    own = run.block
    if own != block and key in STAGE_BLOCKS[own].model_fields:
        return f" (did you mean '{own}.{key}'?)"
    if key in ("drops", "patience"):
        return f": {own}.drop_epochs fixes its drops (null lets validation accuracy steer them)"
    if key == "init":
        return ": all its layers come from the run that it begins with (from: nothing would change that)"
    blocks = dict.fromkeys(("train", own, "model", "evaluate", *(("boxes", "merge") if run.localises else ())))
    return f": expected a key of {', '.join(blocks)}"
