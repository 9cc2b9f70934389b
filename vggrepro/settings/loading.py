"""Loading settings: a preset's YAML file, overridden by the user (`--config smoke=true seeds=[0,1,2]`). No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vggrepro.core.paths import ROOT
from vggrepro.core.printable import shortened
from vggrepro.core.validation import check_plain, nearest_hint, validated
from vggrepro.paper.tasks import TRANSFER_SETS
from vggrepro.settings.blocks import DownloadSettings, TrainSettings
from vggrepro.settings.claims import claim_families
from vggrepro.settings.downloads import with_places
from vggrepro.settings.fields import read_texts
from vggrepro.settings.models import PRESETS, Settings, read_preset
from vggrepro.settings.variants import read_variants

SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"

LAYOUT_OF = {"tiny_imagenet": "tiny-imagenet", "ilsvrc": "ilsvrc"}
"""The layout that a shorthand for a data set's path stands for."""

PATHS = (*LAYOUT_OF, *TRANSFER_SETS)
"""Shorthands for the paths of data sets."""

SHORTHANDS = ("smoke", *PATHS)
"""Keys of the command line that stand for longer ones."""


def load_settings(config: Mapping[str, Any], *, look_for_files: bool = False) -> Settings:
    """The settings of a preset's file, with the values of the user's `config` in their place.

    `smoke=true` is short for `preset=smoke`; `tiny_imagenet=PATH` and `ilsvrc=PATH` for `data={layout: ..., path: PATH}`;
    `voc2007=PATH` and its like for `transfer={voc2007: PATH}`; `variants=FILE` for what a YAML file holds. `fetch` and
    `fetch:NAME` become the places of downloads.
    Raises ValueError that names every wrong key, what was expected and, for a mistyped key, the nearest one; and, if
    `look_for_files`, every file that the user names and that is not there, whatever was made from it already, and what is
    wrong in the user's claims.
    """
    check_plain(config, "config")
    _check_given(config)
    paths = {key: _path(key, config[key]) for key in PATHS if key in config}
    values = {key: value for key, value in config.items() if key not in PATHS}
    if "variants" in values:
        values["variants"] = read_variants(values["variants"])
    preset = _preset(values, paths)
    preset_values = read_preset(preset)
    given, values = values, _override(preset_values, values)
    _check_schedule(preset_values, given, values)
    if values.get("released"):
        values.setdefault("localisation", False)
    for key, path in paths.items():
        layout = LAYOUT_OF.get(key)
        block = {"data": {"layout": layout, "path": path}} if layout else {"transfer": {key: path}}
        values = _override(values, block)
    if "instructions" in values:
        # blocks that are handed to commands on their own
        shared = {"instructions": values["instructions"]}
        values = _override({"evaluate": shared, "transfer": shared}, values)
    values, fetched = with_places(values, _download_folder(values))
    _check_no_own_net(values)
    # where data sets lie by default is looked at when a job needs them, because most tables can be made again without
    may_be_absent = (preset_values["data"].get("path"), *fetched)
    context = {"look_for_files": look_for_files, "may_be_absent": may_be_absent}
    settings = validated(Settings, read_texts(values, Settings), "config", also_known=SHORTHANDS, context=context)
    if look_for_files and settings.claims:
        # a mistake in them is named before anything runs
        claim_families(settings)
    return settings


def _check_given(config: Mapping[str, Any]) -> None:
    if empty := [key for key, value in config.items() if value is None]:
        raise ValueError(
            f"config: {', '.join(empty)}: expected a value, got nothing: give one (is a variable of the shell empty?), or "
            "leave the key out"
        )


def _check_no_own_net(values: Mapping[str, Any]) -> None:
    if isinstance(values.get("model"), dict) and values["model"].get("layers"):
        raise ValueError(
            "config: model.layers: expected a net of one's own in a variant: variants={NAME: {of: E/256, net: [...]}}"
        )


def _download_folder(values: Mapping[str, Any]) -> str:
    """Where downloads lie; the default where the setting is wrong, which is reported with all others."""
    block = values.get("downloads")
    folder = block.get("folder") if isinstance(block, Mapping) else None
    return folder if isinstance(folder, str) else DownloadSettings().folder


def _path(key: str, value: Any) -> str:  # noqa: ANN401
    """The path in a shorthand; a number is one, too, because Snakemake reads `caltech101=101` as one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"config: {key}: expected a path, got {shortened(value)}: write ./NAME for such a name")
    return str(value)


def _preset(values: dict[str, Any], paths: Mapping[str, str]) -> str:
    """The name of the chosen preset, also written into `values` in place of `smoke`; a ValueError for contradictions."""
    smoke = values.pop("smoke", False)
    smoke = {"true": True, "false": False}.get(smoke.lower(), smoke) if isinstance(smoke, str) else smoke
    if not isinstance(smoke, bool):
        raise ValueError(f"config: smoke: expected true or false, got {smoke!r}")
    if smoke and values.get("preset", "smoke") != "smoke":
        raise ValueError(
            f"config: smoke=true stands for preset=smoke, but preset={values['preset']} is given too: give one of them"
        )
    if "tiny_imagenet" in paths and not smoke and "preset" not in values:
        raise ValueError(
            "config: tiny_imagenet is given without a preset: add smoke=true (minutes) or preset=tiny (one GPU)"
        )
    if {"tiny_imagenet", "ilsvrc"} <= set(paths):
        raise ValueError("config: tiny_imagenet and ilsvrc are both given: give one data set")
    preset = str(values.setdefault("preset", "smoke" if smoke else "paper"))
    if preset not in PRESETS:
        raise ValueError(
            f"config: preset: expected one of {', '.join(PRESETS)}, got {preset!r}{nearest_hint(preset, PRESETS)}"
        )
    return preset


PLATEAU_RULE = {"train": {key: TrainSettings.model_fields[key].default for key in ("drops", "patience")}}
"""The plateau rule where no preset sets it; later stages take it over."""


def _check_schedule(preset: Mapping[str, Any], given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """A ValueError if the user changes the plateau rule where the epochs of the drops are fixed, so that it has no effect."""
    blocks = ("train", "finetune", "localise")
    fixed = {name: block.get("drop_epochs") for name in blocks if isinstance(block := values.get(name), Mapping)}
    for name in blocks:
        usual, block = PLATEAU_RULE.get(name, {}) | preset.get(name, {}), given.get(name)
        changes = block if isinstance(block, Mapping) else {}
        ruled = blocks if name == "train" else (name,)
        changed = any(changes.get(key, usual.get(key)) != usual.get(key) for key in ("drops", "patience"))
        if changed and all(map(fixed.get, ruled)):
            raise ValueError(
                f"config: {name}.drops and {name}.patience have no effect, because drop_epochs={fixed[name]} fixes the drops: "
                f"add drop_epochs: null to follow validation accuracy"
            )


def _override(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`: dictionaries are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = _override(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged


def settings_schema() -> str:
    """The reference of all settings as a JSON schema: types, ranges, defaults and descriptions."""
    return json.dumps(Settings.model_json_schema(), indent=1) + "\n"
