"""Types of settings: numbers, names and files, each with its own check.

A file's type looks for the file where the settings of a user are read (`load_settings`), and nowhere else: settings also come
back from results, whose files may lie on another machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, Field, ValidationInfo

from vggrepro.core.printable import is_hidden, shortened
from vggrepro.core.validation import models_in
from vggrepro.paper.references import COLUMN_SPLITS, ON
from vggrepro.paper.runs import file_name
from vggrepro.paper.systems import parse_fusion, released_run

LONGEST_NAME = 200
"""Characters of a name in a table."""

Share = Annotated[float, Field(ge=0, lt=1)]

PositiveNumber = Annotated[float, Field(gt=0)]

PositiveInteger = Annotated[int, Field(ge=1)]

NaturalNumber = Annotated[int, Field(ge=0)]


def _visible(text: str) -> str:
    if any(map(is_hidden, text)):
        raise ValueError(f"expected text without line breaks and control characters, got {shortened(text)}")
    return text


NonEmptyText = Annotated[str, Field(min_length=1), AfterValidator(_visible)]


def _row_name(name: str) -> str:
    if name != name.strip() or len(name) > LONGEST_NAME or name.startswith("-") or " + " in name:
        expected = f"a name of at most {LONGEST_NAME} characters, without ' + ', spaces around it or a dash before it"
        raise ValueError(f"expected {expected}, got {shortened(name)}")
    if _is_system(name):
        raise ValueError(
            f"{name!r} reads as a system of the paper, whose claims would be judged by it: call it otherwise"
        )
    return name


def _is_system(text: str) -> bool:
    try:
        parse_fusion(text, imported=())
    except ValueError:
        return False
    return True


RowName = Annotated[NonEmptyText, AfterValidator(_row_name)]
"""The name of a row that a user adds to a table, which claims find it by."""


def _store_name(name: str) -> str:
    if "/" in name or not file_name(name):
        expected = "a name without '/', and with a letter of a-z or a digit in it, because its folder is called by them"
        raise ValueError(f"expected {expected}, got {name!r}")
    return name


StoreName = Annotated[RowName, AfterValidator(_store_name)]
"""The name of an imported system, which also names a folder."""


def _check_plain_path(text: str, kind: str = "folder") -> str:
    if text.startswith("-") or {"{", "}"} & set(text):
        raise ValueError(
            f"{text!r} has a dash before it or a brace in it, which mean something else in a command: write ./-NAME, or "
            f"rename the {kind}"
        )
    return text


FolderToWrite = Annotated[NonEmptyText, AfterValidator(_check_plain_path)]
"""A folder that is made where it does not exist."""


def _reference_name(name: str) -> str:
    if ON in name or name in COLUMN_SPLITS or re.search(r"[^\w .+-]", name):
        expected = (
            f"a name of letters, digits, spaces and . + -, without {ON!r} in it, and none of {', '.join(COLUMN_SPLITS)}"
        )
        raise ValueError(f"expected {expected}, got {name!r}")
    return name


ReferenceName = Annotated[StoreName, AfterValidator(_reference_name)]
"""The name of other labels or images, which also names columns, claims and a folder."""


def _existing(kind: str, exists: Callable[[Path], bool]) -> AfterValidator:
    """A check that a path names what it should, where `context` asks for it; a path that is a preset's own may be absent."""

    def check(text: str, info: ValidationInfo) -> str:
        _check_plain_path(text, kind)
        context = info.context or {}
        if context.get("look_for_files") and text not in context.get("may_be_absent", ()):
            path = Path(text)
            if not path.exists():
                raise ValueError(f"there is no {kind} {path.absolute()}: name the one to read")
            if not exists(path):
                raise ValueError(f"expected a {kind}, and {path.absolute()} is none: name the one to read")
        return text

    return AfterValidator(check)


ExistingFile = Annotated[NonEmptyText, _existing("file", Path.is_file)]
"""A regular file."""
ExistingFolder = Annotated[NonEmptyText, _existing("folder", Path.is_dir)]
"""A folder."""


ExistingData = Annotated[NonEmptyText, _existing("file or folder", lambda path: path.is_file() or path.is_dir())]
"""A folder or an archive."""


def _released_name(text: str) -> str:
    released_run(text)
    return text


ReleasedName = Annotated[str, AfterValidator(_released_name)]
"""The run whose place a released net takes, such as `A/256`; `D` and `E` alone are those with S in [256;512]."""


def read_texts(value: Any, kind: Any) -> Any:  # noqa: ANN401
    """A value whose texts are read as the type `kind` of its setting: Snakemake passes `true`, `1e-3` and `null` on as text.

    A text stays one where the setting is a text; what cannot be read stays as it is, for the check that follows.
    """
    if isinstance(value, dict):
        models = list(models_in(kind))
        fields = {name: field.annotation for model in models for name, field in model.model_fields.items()}
        if get_origin(kind) is dict:
            return {name: read_texts(inner, get_args(kind)[1]) for name, inner in value.items()}
        return {name: read_texts(inner, fields[name]) if name in fields else inner for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [read_texts(inner, kind) for inner in value]
    if not isinstance(value, str):
        return value
    kinds = _plain_types(kind)
    if any(models_in(kind)):
        return value
    if value.lower() == "null" and type(None) in kinds:
        return None
    if str in kinds:
        return value
    try:
        return float(value) if any(c in value for c in ".eE") else int(value)
    except ValueError:
        return {"true": True, "false": False}.get(value.lower(), value)


def _plain_types(kind: Any) -> list[Any]:  # noqa: ANN401
    """The types of the values in a field; those of a `Literal` are its values' own."""
    inner = get_args(kind)
    if not inner:
        return [kind if isinstance(kind, type) else type(kind)]
    return [plain for part in inner for plain in _plain_types(part)]
