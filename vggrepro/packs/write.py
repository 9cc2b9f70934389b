"""A folder of results as a pack. No torch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from vggrepro.core.checksums import SNAKEMAKES
from vggrepro.core.files import atomic_file, check_ending
from vggrepro.core.leftovers import visible_files
from vggrepro.core.provenance import provenance_record
from vggrepro.core.recipes import RECIPES
from vggrepro.packs.manifest import CONTINUED, FORM, MANIFEST, MEASURED, PACK_VERSION, TABLES, rules_here
from vggrepro.packs.members import TIME, Member, write_member
from vggrepro.packs.origin import packed_settings, places, recorded_settings
from vggrepro.packs.portable_recipes import read_recipe, token
from vggrepro.paper.references import AT
from vggrepro.settings.models import Settings
from vggrepro.tables.lineage import read_training, stale_results, stored_results
from vggrepro.training.files import WEIGHTS

LEFT_OUT = ("scores/imported", "recipes/scores/imported")
"""What is left out: other people's systems, which are imported again from their files; and what is of other images (AT)."""


def write_pack(results: Path, out: Path, *, weights: bool = False, settings: Settings | None = None) -> int:
    """Pack a folder of results such as `results/smoke` into the zip `out`; the number of its files.

    `settings` are those that its tables were made with, if no recipe of the workflow says it. The same results give the same
    bytes, but for the time. Raises ValueError where there are no results, a file is damaged, or scores are of other weights
    than their run's.
    """
    made_with = settings or recorded_settings(results)
    files = packed_files(results, weights=weights)
    check_ending(out, ".zip")
    trainings = [read_training(path) for path in visible_files(results, "runs/*/run.json")]
    if not trainings and not any(name.endswith("adopted.json") for name in files):
        raise ValueError(f"{results}: no run has ended here: expected a folder of results, such as results/smoke")
    for path, run in stale_results(trainings, stored_results(results)).items():
        raise ValueError(
            f"{results / path}: made with other weights than {run} has now: delete it, run snakemake, pack again"
        )
    members: dict[str, Member] = {}
    with atomic_file(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, file in files.items():
            members[name] = write_member(archive, name, file)
        for name, file in _recipes(results, weights=weights).items():
            members[name] = _write_recipe(archive, name, file, places(made_with))
        manifest = {
            "form": FORM,
            "version": PACK_VERSION,
            "settings": packed_settings(made_with),
            "rules": rules_here(),
            "files": {name: member.model_dump() for name, member in members.items()},
            "made": provenance_record(),
        }
        archive.writestr(_info(MANIFEST), json.dumps(manifest, indent=1))
    return len(members)


def packed_files(results: Path, *, weights: bool) -> dict[str, Path]:
    """The files of results that a pack holds, by their names there."""
    folders = (*MEASURED, *(CONTINUED if weights else ()))
    patterns = [f"{folder}/**/*" for folder in folders]
    files = visible_files(results, *patterns, f"{TABLES}/*.json", f"{TABLES}/*.xxh128")
    files += sorted(file for folder in folders for file in results.glob(f"{folder}/**/{SNAKEMAKES}"))
    names = {file.relative_to(results).as_posix(): file for file in files}
    return {name: file for name, file in names.items() if not _is_of_others(name) and (weights or file.name != WEIGHTS)}


def _recipes(results: Path, *, weights: bool) -> dict[str, Path]:
    folders = (*MEASURED, *(CONTINUED if weights else ()))
    files = visible_files(results, *(f"{RECIPES}/{folder}/**/*.json" for folder in folders))
    names = {file.relative_to(results).as_posix(): file for file in files}
    return {name: file for name, file in names.items() if not _is_of_others(name)}


def _is_of_others(name: str) -> bool:
    return name.startswith(LEFT_OUT) or AT in name


def _write_recipe(archive: zipfile.ZipFile, name: str, file: Path, paths: dict[str, str]) -> Member:
    """A recipe, with the setting's key in place of a data set's path."""
    lines = read_recipe(file)
    for key, path in paths.items():
        lines = [line.replace(repr(path), repr(token(key))) for line in lines]
    text = (json.dumps(lines, indent=1) + "\n").encode("utf-8")
    archive.writestr(_info(name), text)
    return Member(sha256=hashlib.sha256(text).hexdigest(), bytes=len(text), sorted=False)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, TIME)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info
