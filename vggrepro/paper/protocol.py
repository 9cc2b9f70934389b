"""The paper's protocol as rules that what was done is held against: `tables/protocol.yaml`, read and checked. No torch.

A rule says what a field of a record has to be, at which stage, and whether another value departs from the paper or fills its
silence in another way than is usual here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vggrepro.core.files import read_yaml
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import validated
from vggrepro.paper.runs import Run
from vggrepro.paper.tasks import TASKS

PROTOCOL_FILE = ROOT / "tables" / "protocol.yaml"

STAGES: dict[str, tuple[str, ...]] = {
    "training": ("scratch", "384", "jitter", "localisation"),
    "evaluation": ("dense", "multi-crop", "centre-crop", "boxes", "features"),
    "merging": ("merging",),
    "transfer": tuple(TASKS),
}
"""What is held against the rules, and the stages of each: a run at S = 256, at S = 384, with S drawn from [256;512], or for
boxes; a protocol; merging; the tasks of transfer."""

QUANTITIES = ("top-1", "top-5", "localisation", *TASKS)
SIGMAS = 5.0
"""Standard errors that the mean of random draws may be off: less than once in a million."""


@dataclass(frozen=True)
class SampleSpread:
    """What many random draws came to, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Ends:
    """The smallest and the largest of many draws from a range whose ends they may miss by `slack`."""

    low: float
    high: float
    slack: float


@dataclass(frozen=True)
class Exactly:
    """One value; of a list of values, each."""

    value: Any

    def holds(self, found: Any) -> bool:  # noqa: ANN401
        """Whether what was found is as expected."""
        if isinstance(found, SampleSpread):
            return isinstance(self.value, int | float) and abs(found.value - self.value) <= SIGMAS * found.error + 1e-9
        if isinstance(found, list | tuple):
            return all(map(self.holds, found))
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (found, self.value))
        return math.isclose(found, self.value, rel_tol=1e-6) if numbers else bool(found == self.value)

    def __str__(self) -> str:
        return text_of(self.value)


@dataclass(frozen=True)
class Items:
    """A list, item by item."""

    items: tuple[Any, ...]

    def holds(self, found: Any) -> bool:  # noqa: ANN401
        """Whether what was found is this list."""
        return len(found) == len(self.items) and all(
            Exactly(a).holds(b) for a, b in zip(self.items, found, strict=True)
        )

    def __str__(self) -> str:
        return text_of(self.items)


@dataclass(frozen=True)
class Range:
    """A number between two, both included; of a list, each."""

    low: float
    high: float

    def holds(self, found: Any) -> bool:  # noqa: ANN401
        """Whether what was found lies in the range."""
        values = found if isinstance(found, list | tuple) else [found]
        return all(self.low <= value <= self.high for value in values)

    def __str__(self) -> str:
        return f"{text_of(self.low)} to {text_of(self.high)}"


@dataclass(frozen=True)
class OneOf:
    """One of several values; of a list, each."""

    values: tuple[Any, ...]

    def holds(self, found: Any) -> bool:  # noqa: ANN401
        """Whether all that was found is among the values."""
        return all(value in self.values for value in (found if isinstance(found, list | tuple) else [found]))

    def __str__(self) -> str:
        return " or ".join(map(text_of, self.values))


@dataclass(frozen=True)
class AtMost:
    """A list of no more than so many items."""

    count: int

    def holds(self, found: Any) -> bool:  # noqa: ANN401
        """Whether no more were found."""
        return len(found) <= self.count

    def __str__(self) -> str:
        return f"at most {self.count}"


@dataclass(frozen=True)
class DrawnRange:
    """Draws that reach both ends of a range, as nearly as so many draws do."""

    low: float
    high: float

    def holds(self, found: Ends) -> bool:
        """Whether the draws lie in the range and reach its ends."""
        return self.low <= found.low <= self.low + found.slack and self.high - found.slack <= found.high <= self.high

    def __str__(self) -> str:
        return text_of(Ends(self.low, self.high, 0))


Expected = Exactly | Items | Range | OneOf | AtMost | DrawnRange


def _of_run(name: str, run: Run) -> Expected:
    """What the name of a run promises: its S, the layers that move, its parent."""
    if name == "S":
        low, high = (int(side) for side in (run.S.split("-") * 2)[:2])
        return DrawnRange(low, high)
    parent = run.parent()
    return Exactly(run.layers if name == "layers" else parent.name if parent else None)


def _form(value: Any) -> Any:  # noqa: ANN401
    """What a rule expects, as the file writes it: a value, a list, or `from` and `to`, `one_of`, `of_run`."""
    if isinstance(value, list):
        return Items(tuple(value))
    if not isinstance(value, dict):
        return Exactly(value)
    keys = sorted(value)
    if keys == ["from", "to"] and all(isinstance(number, int | float) for number in value.values()):
        return Range(value["from"], value["to"])
    if keys == ["one_of"] and isinstance(value["one_of"], list):
        return OneOf(tuple(tuple(one) if isinstance(one, list) else one for one in value["one_of"]))
    if keys == ["of_run"] and value["of_run"] in ("S", "layers", "parent"):
        return value
    raise ValueError(
        "expected a value, a list, {from: number, to: number}, {one_of: list} or {of_run: S, layers or "
        f"parent}}, got {value!r}"
    )


Name = Annotated[str, Field(min_length=1)]


class Rule(BaseModel):
    """What the paper says of one thing, and in which field of a record it shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    section: Name
    """Of the paper; of paper.md's list of silences the number is `choice`."""
    says: Name
    """What the paper says, in our words."""
    field: Name
    shows: Name
    """How a footnote names what was done; `{}` stands for it."""
    expect: dict[str, Any]
    """By stage; `every` stands for all stages that are not named."""
    kind: Literal["paper", "choice"]
    """Another value departs from the paper, or is another choice where the paper is silent."""
    choice: Annotated[int, Field(ge=1, le=12)] | None = None
    """Number in the list of the paper's silences."""
    touches: tuple[Literal[QUANTITIES], ...] = QUANTITIES  # type: ignore[valid-type]

    @field_validator("expect", mode="after")
    @classmethod
    def _forms(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("expected a value for a stage, or for every: got none")
        return {stage: _form(expected) for stage, expected in value.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.kind == "choice") != (self.choice is not None):
            raise ValueError(f"choice: a rule of the kind choice has a number, and no other: got {self.choice}")
        if self.shows.count("{}") != 1:
            raise ValueError(f"shows: expected one {{}} for what was done, got {self.shows!r}")
        return self

    def expected(self, stage: str, run: Run | None = None) -> Expected | None:
        """What the rule expects at a stage; None where it says nothing."""
        found = self.expect.get(stage, self.expect.get("every"))
        return _of_run(found["of_run"], run) if isinstance(found, dict) and run else found


@cache
def protocol_rules(path: Path = PROTOCOL_FILE) -> Mapping[str, Sequence[Rule]]:
    """The rules of training, evaluation, merging and transfer; a ValueError names the file, the rule and the key."""
    read = read_yaml(path)
    if not isinstance(read, dict) or set(read) != set(STAGES):
        came = list(read) if isinstance(read, dict) else type(read).__name__
        raise ValueError(f"{path}: expected the keys {', '.join(STAGES)}, got {came}")
    return {about: _rules(path, about, listed) for about, listed in read.items()}


def _rules(path: Path, about: str, listed: Any) -> tuple[Rule, ...]:  # noqa: ANN401
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ValueError(f"{path}: {about}: expected a list of rules")
    found: list[Rule] = []
    for number, entry in enumerate(listed, start=1):
        where = f"{path}: {about}, rule {entry.get('id', number)}"
        rule = validated(Rule, entry, where)
        if unknown := set(rule.expect) - {*STAGES[about], "every"}:
            raise ValueError(
                f"{where}: expect: no stage is called {', '.join(sorted(unknown))}: expected every or "
                f"{', '.join(STAGES[about])}"
            )
        if rule.id in {other.id for other in found}:
            raise ValueError(f"{where}: id: there are two rules of this name")
        found.append(rule)
    return tuple(found)


def text_of(value: Any) -> str:  # noqa: ANN401
    """A value as a footnote prints it."""
    if isinstance(value, SampleSpread):
        # two digits, so that runs which drew alike read alike
        return f"{value.value:.2g}"
    if isinstance(value, Ends):
        return f"{value.low:g}" if value.low == value.high else f"[{value.low:g};{value.high:g}]"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value)) or "none"
    return str(value)
