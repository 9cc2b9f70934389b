"""The paper's protocol as rules that records are compared with: `tables/protocol.yaml`, read and checked. No torch.

What is expected of a value is kept as written: a plain value, a list, `{from, to}`, `{one_of: list}`, or `{}` for nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, validated
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.runs import TRAINING_STAGES, Run
from vggrepro.paper.tasks import TASKS

PROTOCOL_FILE = ROOT / "tables" / "protocol.yaml"

STAGES: dict[str, tuple[str, ...]] = {
    "training": tuple(TRAINING_STAGES),
    "images": ("images",),
    "evaluation": ("dense", "multi-crop", "centre-crop", "boxes", "dense boxes", "features"),
    "released": ("the authors", "torchvision", "mmpretrain", "others"),
    "stores": ("stores",),
    "difference": ("difference",),
    "merging": ("merging",),
    "transfer": tuple(TASKS),
}
"""The sections of the file, and the stages of each."""

QUANTITIES = ("top-1", "top-5", "localisation", *TASKS)
SILENT: dict[str, Any] = {}
"""Nothing is expected."""


@dataclass(frozen=True)
class SampleEstimate:
    """A statistic of random draws, and the ends that the true value lies between, but for less than once in a million."""

    value: float
    low: float
    high: float


def holds(expected: Any, value: Any) -> bool:  # noqa: ANN401
    """Whether a value, or each of a list where no list is expected, is as expected."""
    match expected, value:
        case list(), list():
            return len(value) == len(expected) and all(map(holds, expected, value))
        case {"one_of": values}, _ if value in values:
            return True
        case _, list():
            return all(holds(expected, one) for one in value)
        case {"from": low, "to": high}, int() | float():
            return bool(low <= value <= high)
        case int() | float(), SampleEstimate():
            return value.low - 1e-9 <= expected <= value.high + 1e-9
        case int() | float(), int() | float():
            return math.isclose(value, expected, rel_tol=1e-6)
    return bool(value == expected)


def text_of(value: Any) -> str:  # noqa: ANN401
    """A value, or what is expected of one, as a footnote prints it."""
    match value:
        case SampleEstimate():
            return text_of(value.value)
        case {"from": low, "to": high}:
            return f"{text_of(low)} to {text_of(high)}"
        case {"one_of": values}:
            return " or ".join(map(text_of, values))
        case list():
            # of the same, such as both ends of a range of one number, one
            return ", ".join(dict.fromkeys(map(text_of, value))) or "none"
        case bool() | None:
            return {True: "yes", False: "no", None: "none"}[value]
        case int() | float():
            return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return str(value)


def _check_form(written: Any) -> Any:  # noqa: ANN401
    match written:
        case (
            {"from": int() | float(), "to": int() | float(), **rest}
            | {"one_of": list(), **rest}
            | {"of_run": "S" | "layers" | "parent", **rest}
        ) if not rest:
            return written
        case dict() if written:
            forms = "a value, a list, {from: number, to: number}, {one_of: list}, {of_run: S, layers or parent} or {}"
            raise ValueError(f"expected {forms}, got {written!r}")
    return written


_FIELD = r"[A-Za-z]\w*(?:\.\w+|\['[^']+'\])*"
_MEASURED = rf"^(?:(\w+)\()?({_FIELD}(?:, {_FIELD})*)\)?(?:\|\w+)?$"
"""A field, or a function of fields; a filter of Jinja may follow."""
_Text = Annotated[str, Field(min_length=1)]
Form = Annotated[Any, AfterValidator(_check_form)]


class Rule(FrozenModel):
    """One fact of the protocol; the head of the file says what its keys are."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    section: _Text
    says: _Text
    measured: Annotated[str, Field(pattern=_MEASURED)]
    setting: _Text | None = None
    declared: _Text | None = None
    expect: Annotated[dict[str, Form], Field(min_length=1)]
    shows: Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]
    choice: Annotated[int, Field(ge=1)] | None = None
    touches: tuple[Literal[QUANTITIES], ...] = QUANTITIES  # type: ignore[valid-type]

    @property
    def measurement(self) -> tuple[str, list[str]]:
        """The function that measures, if it takes one, and the fields that are measured."""
        function, fields = re.findall(_MEASURED, self.measured)[0]
        return function, fields.split(", ")

    @property
    def measured_field(self) -> str:
        """The first field that is measured, as a message names it: `record.batch`; of a file's own fields its key alone."""
        return self.measurement[1][0].removeprefix("document").strip(".[']")

    def applies(self, stage: str) -> bool:
        """Whether what was done at a stage is measured."""
        return stage in self.expect or "every" in self.expect

    def expected(self, stage: str, run: Run | None = None) -> Any:  # noqa: ANN401
        """What the paper did at a stage; SILENT where it does not say, or nothing is measured."""
        form = self.expect.get(stage, self.expect.get("every", SILENT))
        if run and isinstance(form, dict) and "of_run" in form:
            of_run = {"S": list(run.scale_ends), "layers": run.layers, "parent": getattr(run.parent(), "name", None)}
            return of_run[form["of_run"]]
        return form

    def words(self, did: str) -> str:
        """What was done, as a footnote says it."""
        return self.shows.replace("{}", did)

    def did(self, words: str) -> str:
        """What was done, of the words for it."""
        before, after = self.shows.split("{}")
        return words.removeprefix(before).removesuffix(after)


@cache
def protocol_rules(path: Path = PROTOCOL_FILE) -> Mapping[str, Sequence[Rule]]:
    """The rules by section, as `STAGES` names them; a ValueError names the file, the rule and the key."""
    sections = read_yaml(path)
    if not isinstance(sections, dict) or set(sections) != set(STAGES):
        keys = list(sections) if isinstance(sections, dict) else type(sections).__name__
        raise ValueError(f"{path}: expected the keys {', '.join(STAGES)}, got {keys}")
    if wrong := [name for name, entries in sections.items() if not isinstance(entries, list)]:
        raise ValueError(f"{path}: {wrong[0]}: expected a list of rules, got {sections[wrong[0]]!r}")
    rules = {name: tuple(_rule(path, name, each) for each in enumerate(of, 1)) for name, of in sections.items()}
    # findings name a rule by its id
    ids = [rule.id for of_section in rules.values() for rule in of_section]
    if twice := [name for number, name in enumerate(ids) if name in ids[:number]]:
        raise ValueError(f"{path}: rule {twice[0]}: id: two rules have this id")
    return rules


def rules_by_id() -> Mapping[str, Rule]:
    """The rules of all sections."""
    return {rule.id: rule for rules in protocol_rules().values() for rule in rules}


def _rule(path: Path, section: str, numbered: tuple[int, Any]) -> Rule:
    from jinja2 import Environment, TemplateError

    number, entry = numbered
    where = f"{path}: {section}, rule {entry.get('id', number) if isinstance(entry, dict) else number}"
    rule = validated(Rule, entry, where)
    environment = Environment()
    for expression in filter(None, (rule.measured, rule.declared)):
        try:
            environment.compile_expression(expression)
        except TemplateError as error:
            raise ValueError(f"{where}: {expression}: {error}") from None
    if rule.declared and not rule.setting:
        raise ValueError(f"{where}: setting is missing: expected the setting that makes it {rule.declared}")
    if unknown := set(rule.expect) - {*STAGES[section], "every"}:
        stages = f"every or {', '.join(STAGES[section])}"
        raise ValueError(f"{where}: expect: no stage is called {', '.join(sorted(unknown))}: expected {stages}")
    return rule
