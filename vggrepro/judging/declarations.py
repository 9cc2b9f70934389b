"""What the settings of a table declare: the value that they ask of a training, an evaluation or an SVM. No torch.

`tables/protocol.yaml` names for a rule one of these functions and the settings that it takes, with fields of the record where
the value follows from them. What is not declared (SILENT) has to be as in the paper.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from typing import Any

from vggrepro.judging.records import most_drops, patience, steering, value_at
from vggrepro.paper.protocol import PROTOCOL_FILE, SILENT, STAGES, Ends, Rule, call
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import DataSettings, NetSettings
from vggrepro.settings.effects import effects
from vggrepro.settings.models import Settings
from vggrepro.settings.variants import NOTHING

EFFECTS = dict(effects(Settings))
CLASSES = {"ilsvrc": 1000, "tiny-imagenet": 200, "stand-in": inf}


def _value(setting: Any) -> Any:  # noqa: ANN401
    return SILENT if setting is None else list(setting) if isinstance(setting, tuple) else setting


def _range(most: float, least: int = 1) -> dict[str, float]:
    return {"from": least, "to": most}


def _images(per_class: int | None, data: DataSettings) -> Any:  # noqa: ANN401
    """No more than were asked for; of ILSVRC, if no number was, the paper's."""
    if data.layout == "ilsvrc" and per_class is None and data.classes is None:
        return SILENT
    return _range((per_class or inf) * (data.classes or CLASSES[data.layout]))


def _scales(_: str, run: Run, model: NetSettings) -> Ends:
    """The range of S in the paper's pixels, after rounding to this net's."""
    return Ends(*(model.pixels(side) * 224 / model.crop for side in run.scale_ends))


def _parent(staged: bool, run: Run, begins: str | None) -> str | None:
    """The run that a run says it is initialised from: of a variant what it `begins` with, if not as in the paper."""
    if begins is not None:
        return None if begins == NOTHING else begins
    return getattr(run.parent(staged=staged), "name", None)


KINDS = {"LRN": "LocalResponseNorm", "BN": "BatchNorm2d"}
"""What the layers are called that a net of one's own may have beside those that all nets have."""


def _kinds(own: Sequence[Any] | None) -> Any:  # noqa: ANN401
    if own is None:
        return SILENT
    return sorted({"Conv2d", "Linear", "MaxPool2d", "ReLU", *(KINDS[layer] for layer in own if layer in KINDS)})


DECLARATIONS: dict[str, Callable[..., Any]] = {
    "value": _value,
    "at_most": lambda _, most: _range(most),
    # of other data sets than ILSVRC no more classes than were asked for
    "classes": lambda asked, layout: _range(asked or CLASSES[layout]) if layout != "ilsvrc" else asked or SILENT,
    "images": _images,
    # an epoch may have fewer images than a batch
    "batch": lambda asked, in_epoch: min(asked, max(in_epoch)),
    "iterations": lambda _, epochs, batch, in_epoch: epochs * ceil(max(in_epoch) / min(batch, max(in_epoch))),
    # a rate that validation accuracy steers may drop fewer times
    "drop_count": lambda drops, fixed: _range(most_drops(drops, fixed), 0 if fixed is None else len(fixed)),
    "most_drops": most_drops,
    "steering": steering,
    "patience": patience,
    "any_number": lambda _: _range(inf),
    "any_text": lambda _: {"one_of": list(STAGES["released"])},
    "parent": _parent,
    "kinds": _kinds,
    "scales": _scales,
}


def declaration(rule: Rule, names: Mapping[str, Any]) -> tuple[Any, str]:
    """The value that the settings declare for a rule, SILENT where they declare none; and the setting that a user changes.

    `names` holds the settings and the record; in a field, `{stage}` and its like stand for what has that name. Where a setting
    is what is measured, it declares itself.
    """
    if rule.declared is None:
        setting = call(rule.measured).fields[0]
        return (value_at(names, setting), setting) if setting in EFFECTS else (SILENT, "")
    name, written, table = call(rule.declared)
    fields = [field.format_map(names) for field in written]
    values = [value_at(names, field) for field in fields]
    if table:
        name = values[0] if isinstance(values[0], str) else json.dumps(values[0])
    if name not in (table or DECLARATIONS):
        known = ", ".join(table or DECLARATIONS)
        raise ValueError(f"{PROTOCOL_FILE}: rule {rule.id}: declared: expected one of {known}, got {name}")
    expected = table[name] if table else DECLARATIONS[name](*values)
    return expected, "the run's name" if fields[0].startswith("run.") else fields[0]
