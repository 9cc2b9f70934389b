"""What another value of a setting means for a number beside the paper's: nothing, a choice, or a departure.

Every setting says it in its annotation, such as `Annotated[int, choice(7)]`. Notes, footnotes and verdicts follow from
that. A choice that is a number says, too, which values are plausible: another one departs from the paper.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from vggrepro.paper.protocol import holds


@dataclass(frozen=True)
class Effect:
    """What it means where the value is not the paper preset's."""

    kind: Literal["harmless", "choice", "departure"]
    number: int | None = None
    """Of a choice, in the list of choices."""
    silent_at: Collection[str] = ()
    """Stages of `tables/protocol.yaml` at which the paper is unspecified, so that a departure is a choice there."""
    same: Collection[object] = ()
    """Values that give the same results as the paper preset's."""
    plausible: Any = None
    """Where it is a choice: what the paper could mean, in a form of `tables/protocol.yaml`. Another value departs from the
    paper. None: all that the type allows."""

    def choice_at(self, stage: str) -> int | None:
        """The number of the choice that the setting is at a stage; None where the paper says it."""
        return self.number if self.kind == "choice" or stage in self.silent_at else None

    def is_plausible(self, value: object) -> bool:
        """Whether a value of a choice is one that the paper could mean; one that is not set is."""
        each = list(value) if isinstance(value, tuple) else value
        return self.plausible is None or value is None or holds(self.plausible, each)

    def departs(self, value: object, default: object) -> bool:
        """Whether a value, beside the paper preset's, makes numbers that cannot be compared with the paper's."""
        if self.kind == "departure":
            return value != default and value not in self.same
        return not self.is_plausible(value)


HARMLESS = Effect("harmless")
"""No result depends on it beyond rounding and chance, or it only says what is run and where files lie."""
DEPARTURE = Effect("departure")
"""The paper gives the value: a number made with another one cannot be compared with the paper's."""


def choice(number: int, *, plausible: Any = None) -> Effect:  # noqa: ANN401
    """The paper is unspecified: the value is our default, and numbers made with another plausible one stay comparable."""
    return Effect("choice", number, plausible=plausible)


def effects(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Effect]]:
    """(key, effect) of every setting; keys of blocks have dots, such as `train.batch`. A TypeError for one that has none."""
    for name, field in model.model_fields.items():
        kind, key = field.annotation, prefix + name
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from effects(kind, f"{key}.")
            continue
        declared = [entry for entry in field.metadata if isinstance(entry, Effect)]
        if len(declared) != 1:
            raise TypeError(f"{key}: expected one Effect in the annotation of the setting, got {len(declared)}")
        yield key, declared[0]
