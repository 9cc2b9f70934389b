"""The values of a rule of `tables/protocol.yaml`: the measured one, and the one that settings declare. No torch.

A rule has an expression for each, of functions that stand here and of fields: of `run.json`, `made.json`,
`tables/releases.yaml`, and the settings of a table. The functions' types are the types of the fields: all fields below
`record` together are the form of a record, all below `recipe` that of a released net's recipe, and nothing else may stand in
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from math import ceil, inf, sqrt
from typing import Annotated, Any, TypeVar

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, Field, create_model

from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.ilsvrc import ILSVRC_CLASSES
from vggrepro.paper.protocol import PROTOCOL_FILE, SILENT, STAGES, Rule, SampleEstimate, protocol_rules
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import DataSettings, NetSettings
from vggrepro.settings.effects import effects
from vggrepro.settings.models import Settings
from vggrepro.settings.variants import NOTHING

RECIPES_FILE = ROOT / "tables" / "releases.yaml"
EFFECTS = dict(effects(Settings))
CLASSES = {"ilsvrc": ILSVRC_CLASSES, "tiny-imagenet": 200, "stand-in": inf}
KINDS = {"LRN": "LocalResponseNorm", "BN": "BatchNorm2d"}
"""What the layers are called that a net of one's own may have beside those that all nets have."""

WORDS = {"run": "the run's name", "initial_layers": "the net, with what it begins with,", "task": "the task"}
"""Of what is no setting: what says how it has to be."""

SIGMAS = 5.0
"""Standard errors that the mean of random draws may be off: less than once in a million."""

T = TypeVar("T")
Several = Annotated[list[T], Field(min_length=1)]
"""The different values that occurred."""
Rates = Several[tuple[int, Annotated[float, Field(gt=0)]]]
"""From which epoch on, which learning rate."""
DrawCount = Annotated[int, Field(ge=0)]
MeanRGB = Annotated[list[float], Field(min_length=3, max_length=3)]


def _estimate(value: float, error: float) -> SampleEstimate:
    """Of a standard error; the value has two digits, so that runs which drew alike read alike."""
    return SampleEstimate(float(f"{value:.2g}"), value - SIGMAS * error, value + SIGMAS * error)


def _ends(pixels: tuple[int, int], draws: int, crop: Sequence[int]) -> list[SampleEstimate]:
    """The smallest and the largest S in the paper's pixels, where the crop has 224."""
    scale = 224 / crop[0]
    low, high = (scale * side for side in pixels)
    # so many draws of so many values miss both ends by more than this once in a million
    slack = 14 * (high - low + scale) / max(draws, 1)
    return [SampleEstimate(low, low - slack, low), SampleEstimate(high, high, high + slack)]


def _scales(run: Run, model: NetSettings) -> list[float]:
    """The ends of S in the paper's pixels, after rounding to this net's."""
    return [model.pixels(side) * 224 / model.crop for side in run.scale_ends]


def _every_image_once(shown: int, in_epoch: list[int], images: int, epochs: int, localises: bool) -> bool:
    """An epoch of boxes shows the images that have some."""
    return [shown] == [n * epochs for n in in_epoch] and (in_epoch == [images] or localises)


def _trained_layers(still: list[str], transferred: list[str], random: Mapping[str, float]) -> str | list[str]:
    """`all` layers, `none`, those called `fc`, or their names: all but those that ended as they began."""
    every = {*transferred, *random}
    layers, fc = every - set(still), {name for name in every if name.startswith("fc")}
    return "all" if not still else "fc" if layers == fc else sorted(layers) or "none"


def _views(
    views: Mapping[str, int], tested: list[int], protocol: str, Q: list[int], model: NetSettings, n: int
) -> list[float]:
    """How many views of each of `n` images the net was shown at each Q; they are counted by their smallest side in pixels."""
    if protocol in ("multi-crop", "centre-crop"):
        # crops of all the Q that were tested together have one size
        return [views.get(str(model.crop), 0) / max(n * len(tested), 1)]
    return [views.get(str(model.pixels(scale)), 0) / max(n, 1) for scale in Q]


def _between(low: float, high: float = inf) -> dict[str, float]:
    return {"from": low, "to": high}


def _images(per_class: int | None, data: DataSettings) -> Any:  # noqa: ANN401
    """No more than were asked for; of ILSVRC, if no number was, the paper's."""
    if data.layout == "ilsvrc" and per_class is None and data.classes is None:
        return SILENT
    return _between(1, (per_class or inf) * (data.classes or CLASSES[data.layout]))


def _parent(staged: bool, run: Run, begins: str | None) -> str | None:
    """The run that a run says it is initialised from: of a variant what it `begins` with, if not as in the paper."""
    if begins is not None:
        return None if begins == NOTHING else begins
    return getattr(run.parent(staged=staged), "name", None)


def _kinds(own: Sequence[Any] | None) -> Any:  # noqa: ANN401
    if own is None:
        return SILENT
    return sorted({"Conv2d", "Linear", "MaxPool2d", "ReLU", *(KINDS[layer] for layer in own if layer in KINDS)})


PLAIN_TYPES: dict[str, Any] = {
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
"""Functions that take a field as it is, by its type."""
FUNCTIONS: dict[str, tuple[Callable[..., Any], *tuple[Any, ...]]] = {
    **{name: (lambda value: value, kind) for name, kind in PLAIN_TYPES.items()},
    "sorted_names": (lambda names: sorted(names), dict[str, float]),
    "span": (lambda ends: ends[1] - ends[0], tuple[float, float]),
    # statistics of random draws, with their standard errors
    "share": (lambda mean, draws: _estimate(mean, 0.5 / sqrt(draws) if draws else 0.0), float, DrawCount),
    "deviation": (lambda std, draws: _estimate(std, std / sqrt(2 * max(draws, 1))), float, DrawCount),
    "drawn_scales": (_ends, tuple[int, int], DrawCount, Several[int]),
    "largest_difference": (
        lambda means, expected: max(abs(a - b) for mean in means for a, b in zip(mean, expected, strict=True)),
        Several[MeanRGB],
        MeanRGB,
    ),
    "every_image_once": (_every_image_once, int, Several[int], int),
    "steering_images": (lambda images, fixed: images if fixed is None else [], int),
    # the learning rate: the initial one, the epochs after which it dropped, how often, and by which factors
    "first_rate": (lambda rates: rates[0][1], Rates),
    "drop_epochs": (lambda rates: [epoch - 1 for epoch, _ in rates[1:]], Rates),
    "drop_count": (lambda rates: len(rates) - 1, Rates),
    "drop_factors": (lambda rates: [before / after for (_, before), (_, after) in pairwise(rates)], Rates),
    "initialisation": (lambda name: [] if name == "none" else [name], str),
    "trained_layers": (_trained_layers, list[str], list[str], dict[str, float]),
    "views_per_image": (_views, dict[str, int], Several[int]),
    # what the learning rate follows: validation accuracy, after so many epochs and so often, or `fixed` epochs
    "steering": (lambda fixed: "validation accuracy" if fixed is None else "fixed epochs",),
    "patience": (lambda epochs, fixed: [epochs] if fixed is None else [],),
    "most_drops": (lambda drops, fixed: drops if fixed is None else len(fixed),),
    "iterations": (lambda epochs, batch, in_epoch: epochs * ceil(max(in_epoch) / min(batch, max(in_epoch))),),
    "labels_of_boxes": (
        lambda labels, classifier: (
            "true classes"
            if (labels, classifier) == ("the true classes", None)
            else "top-5 labels"
            if classifier and labels != "the true classes"
            else f"{labels}, with the classifier {classifier}"
        ),
    ),
    "between": (_between,),
    # of SVMs: which features they are trained on, at which scales, and which classes' mean is measured
    "feature_names": (lambda features: sorted(f"{each['name']} of {each['run']}" for each in features),),
    "names_of": (lambda nets, collections: sorted(f"{name} of {net}" for net in nets for name in collections),),
    "feature_scales": (lambda features: sorted({Q for each in features for Q in each["scales"]}),),
    "counted": (
        lambda names, of, asked: asked if names == [n for n in of if asked == "all" or n != "other"] else names,
    ),
    "images": (_images,),
    # of other data sets than ILSVRC no more classes than were asked for
    "classes": (lambda n, layout: _between(1, n or CLASSES[layout]) if layout != "ilsvrc" else n or SILENT,),
    "parent": (_parent,),
    "kinds": (_kinds,),
    "scales": (_scales,),
}
"""What expressions may call, by name: a function, and the types of its arguments that stand in a record."""


class _Missing(StrictUndefined):
    """Raised as soon as an expression asks for what is not there: a function could take it for a value."""

    def __init__(self, hint: str | None = None, obj: object = None, name: object = None, **_: object) -> None:
        raise LookupError(hint or f"{name} is missing")


_EXPRESSIONS = ImmutableSandboxedEnvironment(undefined=_Missing, autoescape=False)
_EXPRESSIONS.globals = {name: function for name, (function, *_) in FUNCTIONS.items()}
_compiled = cache(_EXPRESSIONS.compile_expression)


def value_of(expression: str, names: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The value of an expression of a rule; a ValueError says what is not there, or why it has none."""
    try:
        value = _compiled(expression)(names)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"{expression}: {error}") from None
    return list(value) if isinstance(value, tuple) else value


def declaration(rule: Rule, names: Mapping[str, Any]) -> tuple[Any, str]:
    """The value that the settings declare for a rule, and the setting that a user changes.

    SILENT where there is no setting, or it is not set: then the record has to be as in the paper.
    """
    if not rule.setting:
        return SILENT, ""
    try:
        setting = rule.setting.format_map(names)
        value = value_of(rule.declared or setting, names)
    except (ValueError, LookupError, AttributeError) as wrong:
        raise ValueError(f"{PROTOCOL_FILE}: rule {rule.id}: {wrong}") from None
    silent = value is None and not rule.declared
    return SILENT if silent else value, WORDS.get(setting.partition(".")[0], setting)


@cache
def record_form(section: str, key: str = "record") -> type[BaseModel]:
    """What stands below a `key` of what rules are read from: every field that a rule takes from there, and no other."""
    types: dict[str, Any] = {}
    for rule in protocol_rules()[section]:
        function, fields = rule.measurement
        if function and function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise ValueError(f"{PROTOCOL_FILE}: rule {rule.id}: measured: expected one of {known}, got {function}")
        types |= zip(fields, FUNCTIONS[function][1:] if function else (), strict=False)
    below = f"{key}."
    return _model({name.removeprefix(below): kind for name, kind in types.items() if name.startswith(below)})


def _model(fields: Mapping[str, Any]) -> type[BaseModel]:
    inner: dict[str, dict[str, Any]] = {}
    for path, kind in fields.items():
        name, _, rest = path.partition(".")
        inner.setdefault(name, {})[rest] = kind
    form: Any = {name: (parts[""] if "" in parts else _model(parts), ...) for name, parts in inner.items()}
    return create_model("Record", __base__=FrozenModel, **form)


@cache
def training_recipes() -> Mapping[str, BaseModel]:
    """How released nets were trained, by their makers; a ValueError names the file and the key that is wrong."""
    form, entries, makers = record_form("released", "recipe"), read_yaml(RECIPES_FILE), STAGES["released"][1:-1]
    if not isinstance(entries, dict) or set(entries) != set(makers):
        got = ", ".join(entries) if isinstance(entries, dict) else type(entries).__name__
        raise ValueError(f"{RECIPES_FILE}: expected the recipes of {', '.join(makers)}, got {got}")
    return {name: validated(form, entry, f"{RECIPES_FILE}: {name}") for name, entry in entries.items()}
