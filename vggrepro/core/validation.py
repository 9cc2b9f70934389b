"""Values from files and from the user, checked against typed models; all that is wrong is named in one message."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vggrepro.core.files import damage_named

_T = TypeVar("_T", bound=BaseModel)
_V = TypeVar("_V")


class FrozenModel(BaseModel):
    """Frozen and strict, without unknown keys; the docstring under a field is its description in the schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )


def validated(kind: type[_T], values: Mapping[str, Any], where: str, *, also_known: Iterable[str] = ()) -> _T:
    """`values` as a `kind`; a ValueError with a line for each wrong key, headed by `where`.

    `also_known` are keys that the caller handles itself, which are proposed for a mistyped key at the top.
    """
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        problems = error.errors()
        # where an entry of a list is wrong, pydantic also reports the list as too short
        wrong = {problem["loc"][:-1] for problem in problems if problem["loc"]}
        problems = [p for p in problems if p["type"] != "too_short" or p["loc"] not in wrong]
        raise ValueError("\n".join(_explain(kind, problem, where, also_known) for problem in problems)) from None


def read_typed(kind: type[_V], path: Path, again: str) -> _V:
    """The value in a JSON file of ours; a ValueError that names the file where it is missing or holds no `kind`.

    `again` says how to make the file again, such as "make the table again".
    """
    with damage_named(path, again):
        return TypeAdapter(kind).validate_json(path.read_bytes())


def _explain(kind: type[BaseModel], problem: Any, where: str, also_known: Iterable[str]) -> str:  # noqa: ANN401
    """A line for a problem: the key, the expected value, the given one; for an unknown key, the nearest known key."""
    path = [part for part in problem["loc"] if not (isinstance(part, str) and "[" in part)]
    key = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        model = kind
        for part in path[:-1]:
            model = next(
                t
                for t in (model.model_fields[part].annotation, *get_args(model.model_fields[part].annotation))
                if hasattr(t, "model_fields")
            )
        known = [*model.model_fields, *(also_known if len(path) == 1 else ())]
        return f"{where}: no key is called {key!r}{nearest_hint(str(path[-1]), known)}. Known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    if problem["type"] == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    if unit := {"too_short": "entry", "string_too_short": "character"}.get(problem["type"]):
        return f"{where}: {key}: expected at least {problem['ctx']['min_length']} {unit}, got {problem['input']!r}"
    return f"{where}: {key}: {problem['msg'].replace('Input should be', 'expected')}, got {problem['input']!r}"


def nearest_hint(word: str, known: tuple[str, ...] | list[str]) -> str:
    """` (did you mean 'threads'?)` for a mistyped word that resembles a known one, else an empty text."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
