"""Reads the values of the rules from `run.json`, `made.json` and `tables/releases.yaml`. No torch.

`tables/protocol.yaml` names for every rule one of these readers and the fields that it takes. The readers' types are the types
of the fields: all fields below `record` together are the form of a record, all below `recipe` that of a released net's recipe,
and nothing else may stand in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from math import sqrt
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, create_model

from vggrepro.core.files import read_yaml
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.paper.protocol import PROTOCOL_FILE, Ends, Rule, SampleSpread, call, protocol_rules
from vggrepro.settings.blocks import NetSettings

RECIPES_FILE = ROOT / "tables" / "releases.yaml"

T = TypeVar("T")
Several = Annotated[list[T], Field(min_length=1)]
"""The different values that occurred."""
Rates = Several[tuple[int, Annotated[float, Field(gt=0)]]]
"""From which epoch on, which learning rate."""
DrawCount = Annotated[int, Field(ge=0)]
MeanRGB = Annotated[list[float], Field(min_length=3, max_length=3)]


def _ends(pixels: tuple[int, int], draws: int, crop: Sequence[int]) -> Ends:
    """The smallest and the largest S in the paper's pixels, where the crop has 224."""
    scale = 224 / crop[0]
    low, high = (scale * side for side in pixels)
    # so many draws of so many values miss both ends by more than this once in a million
    return Ends(low, high, 14 * (high - low + scale) / max(draws, 1))


def _trained_layers(still: list[str], transferred: list[str], random: Mapping[str, float]) -> str | list[str]:
    """`all` layers, those called `fc`, or their names: all but those that ended as they began."""
    every = {*transferred, *random}
    layers, fc = every - set(still), {name for name in every if name.startswith("fc")}
    return "all" if not still else "fc" if layers == fc else sorted(layers)


def _views(
    views: Mapping[str, int], tested: list[int], protocol: str, Q: list[int], model: NetSettings, n: int
) -> list[float]:
    """How many views of each of `n` images the net was shown at each Q; they are counted by their smallest side in pixels."""
    if protocol in ("multi-crop", "centre-crop"):
        # crops of all the Q that were tested together have one size
        return [views.get(str(model.crop), 0) / max(n * len(tested), 1)]
    return [views.get(str(model.pixels(scale)), 0) / max(n, 1) for scale in Q]


def most_drops(drops: int, fixed: Sequence[int] | None) -> int:
    """How often the rate may drop: as validation accuracy has it, or after `fixed` epochs."""
    return drops if fixed is None else len(fixed)


def steering(fixed: Sequence[int] | None) -> str:
    """What the rate follows."""
    return "validation accuracy" if fixed is None else "fixed epochs"


def patience(epochs: int, fixed: Sequence[int] | None) -> list[int]:
    """After how many epochs the rate drops; none where the epochs are fixed."""
    return [epochs] if fixed is None else []


PLAIN_TYPES: dict[str, Any] = {
    "value": Any,
    "flag": bool,
    "count": int,
    "counts": Several[int],
    "number": float,
    "numbers": Several[float],
    "rows": list[Several[float]],
    "text": str,
    "texts": Several[str],
    "text_or_none": str | None,
    "names": list[str],
}
"""Readers that take a field as it is, by its type."""
FIELD_READERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{name: (lambda value: value, (kind,)) for name, kind in PLAIN_TYPES.items()},
    "number_of": (len, (Any,)),
    "sorted_names": (sorted, (dict[str, float],)),
    "span": (lambda ends: ends[1] - ends[0], (tuple[float, float],)),
    # statistics of random draws, with their standard errors
    "share": (lambda mean, draws: SampleSpread(mean, 0.5 / sqrt(draws) if draws else 0.0), (float, DrawCount)),
    "deviation": (lambda std, draws: SampleSpread(std, std / sqrt(2 * max(draws, 1))), (float, DrawCount)),
    "drawn_scales": (_ends, (tuple[int, int], DrawCount, Several[int])),
    "largest_difference": (
        lambda means, expected: max(abs(a - b) for mean in means for a, b in zip(mean, expected, strict=True)),
        (Several[MeanRGB], MeanRGB),
    ),
    "every_image_once": (
        lambda shown, images, epochs: [shown] == [n * epochs for n in images],
        (int, Several[int], int),
    ),
    # the learning rate: the initial one, the epochs after which it dropped, how often, and by which factors
    "first_rate": (lambda rates: rates[0][1], (Rates,)),
    "drop_epochs": (lambda rates: [epoch - 1 for epoch, _ in rates[1:]], (Rates,)),
    "drop_count": (lambda rates: len(rates) - 1, (Rates,)),
    "drop_factors": (lambda rates: [before / after for (_, before), (_, after) in pairwise(rates)], (Rates,)),
    "most_drops": (most_drops, (Any, Any)),
    "steering": (steering, (Any,)),
    "patience": (patience, (Any, Any)),
    "initialisation": (lambda name: [] if name == "none" else [name], (str,)),
    "trained_layers": (_trained_layers, (list[str], list[str], dict[str, float])),
    "views_per_image": (_views, (dict[str, int], Several[int], Any, Any, Any, Any)),
}
"""By name: a function of fields, and the types of the fields."""


def _reader(rule: Rule) -> tuple[Callable[..., Any], tuple[Any, ...], Sequence[str]]:
    """The reader of a rule, the types of the fields that it takes, and these."""
    name, fields, table = call(rule.measured)
    reader, types = FIELD_READERS.get(name, (None, ()))
    if reader is None or table or len(types) != len(fields):
        known = ", ".join(f"{name} of {len(types)}" for name, (_, types) in FIELD_READERS.items())
        raise ValueError(
            f"{PROTOCOL_FILE}: rule {rule.id}: measured: expected fields and one of {known}, got {rule.measured}"
        )
    return reader, types, fields


@cache
def record_form(section: str, key: str = "record") -> type[BaseModel]:
    """What stands below a `key` of what rules are read from: every field that a rule takes from there, and no other."""
    fields: dict[str, Any] = {}
    for rule in protocol_rules()[section]:
        _, types, names = _reader(rule)
        fields |= zip(names, types, strict=True)
    below = f"{key}."
    return _model({name.removeprefix(below): kind for name, kind in fields.items() if name.startswith(below)})


@cache
def training_recipes() -> Mapping[str, BaseModel]:
    """How released nets were trained, by their makers; a ValueError names the file and the key that is wrong."""
    form, entries = record_form("released", "recipe"), read_yaml(RECIPES_FILE)
    return {name: validated(form, entry, f"{RECIPES_FILE}: {name}") for name, entry in entries.items()}


def _model(fields: Mapping[str, Any]) -> type[BaseModel]:
    inner: dict[str, dict[str, Any]] = {}
    for path, kind in fields.items():
        name, _, rest = path.partition(".")
        inner.setdefault(name, {})[rest] = kind
    form: Any = {name: (parts[""] if "" in parts else _model(parts), ...) for name, parts in inner.items()}
    return create_model("Record", __base__=FrozenModel, **form)


def measured(rule: Rule, document: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The value of a rule in a document; a LookupError names the field that is not there."""
    reader, _, fields = _reader(rule)
    return reader(*(value_at(document, field) for field in fields))


def value_at(document: Any, field: str) -> Any:  # noqa: ANN401
    """The value that `record.net.width` stands for, through mappings and attributes; a LookupError where there is none."""
    for key in field.split("."):
        inside = document if isinstance(document, Mapping) else getattr(document, "__dict__", {})
        if key not in inside:
            raise LookupError(field)
        document = inside[key]
    return document
