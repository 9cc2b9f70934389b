"""Which settings a result was made with, and which of them a pack takes along: no imported systems, and no paths. No torch."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vggrepro.core.leftovers import visible_files
from vggrepro.core.recipes import RECIPES
from vggrepro.core.validation import nearest_hint, validated
from vggrepro.paper.tasks import TRANSFER_SETS
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

OF_A_USER = ("imported", "fusions", "devkit", "labels", "validation", "unstaged", "claims", "tables")
"""Settings that name other people's files: after a merge they are given again."""


def recorded_settings(results: Path) -> Settings:
    """The settings that the tables of a folder of results were made with, by the workflow's recipes.

    Raises ValueError where there is no recipe of a table, and where tables were made with different settings.
    """
    texts = {file: text for file in visible_files(results, f"{RECIPES}/tables/*.json") for text in _settings_in(file)}
    if not texts:
        raise ValueError(
            f"{results}: nothing in {RECIPES}/tables says which settings its tables were made with: run snakemake, which "
            "writes that down, or give --settings"
        )
    (first, values), *others = ((file, json.loads(text)) for file, text in texts.items())
    for file, other in others:
        if changed := differences(values, other):
            key, (here, there) = next(iter(changed.items()))
            raise ValueError(
                f"{results}: {key} is {here} in {first.name}, but {there} in {file.name}: run snakemake, so that all tables "
                "are made with the same settings, then pack again"
            )
    return validated(Settings, values, f"{first}: settings")


def _settings_in(recipe: Path) -> Iterator[str]:
    """The text of all settings in the recipe of a table: a parameter of its rule, as Python writes a text."""
    try:
        lines = json.loads(recipe.read_text(encoding="utf-8"))
        texts = [ast.literal_eval(line) for line in lines if line.startswith("'{")]
    except (ValueError, TypeError, AttributeError, SyntaxError) as error:
        raise ValueError(f"{recipe}: damaged ({error}): delete it and the table, and run snakemake") from None
    return (text for text in texts if '"preset"' in text)


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """The keys, with dots between those of blocks, whose values differ, and both values; None where one has none."""
    ours, theirs = dict(flat(here)), dict(flat(there))
    keys = dict.fromkeys([*ours, *theirs])
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Keys with dots between, and values; an empty block has none."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_place(key: str) -> bool:
    """Whether a setting says where a data set or a released net lies."""
    return key in ("data.path", *(f"transfer.{name}" for name in TRANSFER_SETS)) or (
        key.startswith("released.") and key.endswith(".file")
    )


def places(settings: Settings) -> dict[str, str]:
    """Where data sets and released nets lie, by key; those that are given."""
    return {key: str(value) for key, value in flat(settings.model_dump(mode="json")) if is_place(key) and value}


def with_values(settings: Settings, values: Mapping[str, object], where: str) -> Settings:
    """The settings with other values of some keys; a ValueError, headed by `where`, for a key that is not there."""
    changed = settings.model_dump(mode="json")
    for key, value in values.items():
        *blocks, last = key.split(".")
        block = changed
        for name in blocks:
            block = block.get(name) or {}
        if last not in block and key not in Settings.model_fields:
            known = [*Settings.model_fields, *(name for name, _ in flat(changed))]
            raise ValueError(
                f"{where}: no setting is called {key!r}{nearest_hint(key, known)}: `vggrepro settings smoke` prints all"
            )
        block[last] = value
    return validated(Settings, changed, where)


def packed_settings(settings: Settings) -> dict[str, Any]:
    """The settings that a pack takes along: without other people's files, and of each path its last part."""
    names = {key: Path(place).name for key, place in places(settings).items()}
    values = with_values(settings, names, "settings").model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in OF_A_USER}


def files_of_a_machine(settings: Settings) -> list[str]:
    """The settings that name files as no pack does: other people's files, and paths of more than a name."""
    of_a_user = [key for key in OF_A_USER if getattr(settings, key, None)]
    return of_a_user + [key for key, place in places(settings).items() if Path(place).name != place]


def overrides(settings: Settings) -> dict[str, Any]:
    """What a user gives beside the preset's name to have these settings."""
    usual = load_settings({"preset": settings.preset}).model_dump(mode="json")
    return {"preset": settings.preset, **_changed(usual, settings.model_dump(mode="json"))}


def _changed(usual: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changes = {}
    for key, value in values.items():
        if key not in usual or value != usual[key]:
            inside = isinstance(value, Mapping) and isinstance(usual.get(key), Mapping)
            changes[key] = _changed(usual[key], value) if inside else value
    return changes
