"""Values from files and from the user, checked against typed models; all that is wrong is named in one message."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vggrepro.core.files import checked
from vggrepro.core.printable import shortened, visible

_T = TypeVar("_T", bound=BaseModel)
_V = TypeVar("_V")

SHOWN_PROBLEMS = 3
"""Problems of a record that a message lists."""


class FrozenModel(BaseModel):
    """Frozen and strict, without unknown keys; the docstring under a field is its description in the schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )


LEVELS = 20
"""Levels of keys and lists inside of each other in values of the user; the settings have four."""


def validated(
    kind: type[_T],
    values: Mapping[str, Any],
    where: str,
    *,
    also_known: Iterable[str] = (),
    context: Mapping[str, Any] | None = None,
) -> _T:
    """`values` as a `kind`; a ValueError with a line for each wrong key, headed by `where`.

    `also_known` are keys that the caller handles itself, which are proposed for a mistyped key at the top; `context` is what
    the types of fields may ask for.
    """
    check_plain(values, where)
    try:
        return kind.model_validate_json(json.dumps(values), context=context)
    except ValidationError as error:
        problems = error.errors()
        # where an entry of a list is wrong, pydantic also reports the list as too short
        wrong = {problem["loc"][:-1] for problem in problems if problem["loc"]}
        problems = [p for p in problems if p["type"] != "too_short" or p["loc"] not in wrong]
        # a key that is missing may be the one that is mistyped
        problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
        raise ValueError("\n".join(_explain(kind, problem, where, also_known) for problem in problems)) from None


def check_plain(value: Any, where: str, *path: str) -> None:  # noqa: ANN401
    """A ValueError for what is no value of JSON, such as a date of YAML, or is nested in more than 20 levels."""
    key = "".join(f"{part}: " for part in (where, ".".join(path)) if part)
    if len(path) > LEVELS:
        raise ValueError(f"{where}: {path[0]}: expected at most {LEVELS} levels inside of each other")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            # JSON writes other simple keys as text: whoever calls a system 2014 means its name
            if name is not None and not isinstance(name, str | bool | int | float):
                raise ValueError(f"{key}the key {name!r} is no text: write it in quotes")
            check_plain(inner, where, *path, str(name))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            check_plain(inner, where, *path, str(number))
    elif isinstance(value, str):
        if value.encode("utf-8", "replace").decode() != value:
            raise ValueError(f"{key}expected text in UTF-8, got {shortened(value)}")
    elif value is not None and not isinstance(value, bool | int | float):
        kind = type(value).__name__
        raise ValueError(f"{key}expected text, a number, a list or keys, got a {kind}, {value}: write text in quotes")


def read_typed(kind: type[_V], path: Path, again: str) -> _V:
    """The value in a JSON file of ours; a ValueError that names the file where it is missing or holds no `kind`.

    `again` says how to make the file again, such as "make the table again".
    """
    with checked(path, again):
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(first_problems(error)) from None


def first_problems(error: ValidationError) -> str:
    """The first few keys that are wrong in a record of ours, what was expected and what came: a damaged one may have many."""
    problems = error.errors()
    texts = [
        f"{'.'.join(map(str, p['loc']))}: {p['msg']}, got {shortened(p['input'])}" for p in problems[:SHOWN_PROBLEMS]
    ]
    return "; ".join(
        [*texts, *([f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else [])]
    )


def _explain(kind: type[BaseModel], problem: Any, where: str, also_known: Iterable[str]) -> str:  # noqa: ANN401
    """A line for a problem: the key, the expected value, the given one; for an unknown key, the nearest known key."""
    # the types of pydantic stand between keys, such as function-after[...]; the last part may be a key with a bracket in it
    path = [part for part in problem["loc"][:-1] if not (isinstance(part, str) and "[" in part)]
    path += [part for part in problem["loc"][-1:] if problem["type"] == "extra_forbidden" or "[" not in str(part)]
    key = visible(".".join(str(part) for part in path))
    head = f"{where}: {key}" if key else where
    if problem["type"] == "extra_forbidden":
        known = [*_known_keys(kind, path), *(also_known if len(path) == 1 else ())]
        return f"{where}: no key is called {key!r}{nearest_hint(str(path[-1]), known)}. Known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{head} is missing"
    if problem["type"] == "value_error":
        return f"{head}: {problem['ctx']['error']}"
    got = shortened(problem["input"])
    if unit := {"too_short": "entry", "string_too_short": "character"}.get(problem["type"]):
        return f"{head}: expected at least {problem['ctx']['min_length']} {unit}, got {got}"
    if problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{head}: expected keys and values, got {got}"
    return f"{head}: {problem['msg'].replace('Input should be', 'expected')}, got {got}"


def _known_keys(kind: type[BaseModel], path: list[Any]) -> list[str]:
    """The keys beside the last one of a path; names in a dictionary and places in a list lie between keys."""
    models = [kind]
    for part in path[:-1]:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [inner for field in fields for inner in models_in(field.annotation)] if fields else models
    return list(dict.fromkeys(field.alias or name for model in models for name, field in model.model_fields.items()))


def nearest_hint(word: str, known: tuple[str, ...] | list[str]) -> str:
    """` (did you mean 'threads'?)` for a mistyped word that resembles a known one, else an empty text."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    """The models in a type: itself, or those in its unions, lists and dictionaries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)
