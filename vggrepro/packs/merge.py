"""Several packs as one result: their runs side by side, their seeds as one axis, and tables made from the scores. No torch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from vggrepro.core.checksums import CHECKSUMS, listed_files, write_checksums, write_list
from vggrepro.core.files import file_digest, put_in_place, read_json, write_json, write_text
from vggrepro.core.leftovers import in_use, prefix_of
from vggrepro.core.provenance import provenance_record
from vggrepro.packs.compatibility import check_images, check_listed_files, check_records, check_settings
from vggrepro.packs.manifest import CONTINUED, MEASURED, TABLES, Pack, check_space, open_pack
from vggrepro.packs.origin import is_place, overrides, places, with_values
from vggrepro.packs.portable_recipes import recipes_of, settle_recipes
from vggrepro.packs.tables import check_tables, make_tables, note_recipes
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

MERGED_UNITS = {
    "runs": "*",
    "scores": "*/*",
    "boxes": "*/*",
    "features": "*/*",
    "answers": "*",
    "splits": "*",
    "transfer": "*/*",
    "why": "*",
}
"""By folder of results: what of it is taken from a pack as a whole, because one job made it."""
COMPARED_ENDINGS = {".npy", ".txt", ".csv"}
"""Endings of the files that are the same in duplicates; records have times in them."""
MERGE_FOLDER = "merge"
"""The folder of what was merged, and of the settings to go on with."""


@dataclass(frozen=True)
class Merged:
    """What a merge made."""

    settings: Settings
    runs: int
    duplicates: int
    """Results that several packs hold."""
    numbers: int
    """In the cells of the packed tables, all equal to those that were made again."""
    incomplete: tuple[str, ...]
    """Tables that lack a run or an evaluation."""


def merge_packs(paths: list[Path], out: Path, *, given: Mapping[str, str] | None = None, workers: int = 1) -> Merged:
    """Merge packs into the new folder of results `out`.

    `given` says where data sets lie on this machine, by the setting that names them. Raises ValueError for a pack that is no
    whole pack, for packs that do not fit together, for tables that are not of their scores, and where `out` is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out}: is there already: name a new folder")
    packs = [open_pack(path) for path in paths]
    check_settings(packs)
    settings = _placed(_merged_settings(packs), given or {})
    check_space(packs, out)
    with _new_folder(out) as folder:
        unpacked = {pack.name: folder / f".{number}" for number, pack in enumerate(packs)}
        with _named_by_packs(unpacked):
            for pack in packs:
                pack.unpack(unpacked[pack.name])
                check_listed_files(pack, unpacked[pack.name])
                check_records(pack, unpacked[pack.name])
            check_images(unpacked)
            numbers = sum(check_tables(p.name, p.settings, unpacked[p.name], workers=workers) for p in packs)
            duplicates = _join(packs, unpacked, folder)
        for place in unpacked.values():
            shutil.rmtree(place)
        _drop_missing_from_lists(folder)
        settle_recipes(folder, places(settings))
        make_tables(settings, folder, folder / TABLES, workers=workers)
        _write_record(packs, settings, folder)
        incomplete = note_recipes(settings, folder, folder / MERGE_FOLDER / "settings.yaml")
    return Merged(settings, len(list(out.glob("runs/*"))), duplicates, numbers, incomplete)


def _placed(settings: Settings, given: Mapping[str, str]) -> Settings:
    if wrong := [key for key in given if not is_place(key)]:
        known = ", ".join(places(settings)) or "none"
        raise ValueError(f"--place: {wrong[0]} is no setting that says where data lies; these packs need {known}")
    return with_values(settings, given, "--place")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block succeeds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix_of(out), dir=out.parent))
    try:
        with in_use(folder):
            yield folder
            put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _named_by_packs(unpacked: Mapping[str, Path]) -> Iterator[None]:
    """A block whose messages name packs, not the folders that they are unpacked to for a while."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for name, folder in unpacked.items():
            text = text.replace(f"{folder}/", f"{name}: ")
        # what `checked` says to delete and to make again lies with those who packed it
        damage, told, _ = text.partition("): delete ")
        raise ValueError(f"{damage}): get the pack again" if told else text) from None


def _merged_settings(packs: list[Pack]) -> Settings:
    """The first pack's settings, with the seeds of all in ascending order, and all that any of them was asked to run."""
    settings, each = packs[0].settings, [pack.settings for pack in packs]
    # a preset's own data set lies where the preset says, whatever it is called elsewhere
    usual = load_settings({"preset": settings.preset})
    own = {key: place for key, place in places(usual).items() if settings.data.layout == usual.data.layout}
    named = {key: place for one in reversed(each) for key, place in places(one).items()}
    asked: dict[str, object] = {
        "seeds": sorted({seed for one in each for seed in one.seeds}),
        "localisation": any(one.localisation for one in each),
        "ours": any(one.ours for one in each),
    }
    if variants := {name: v.model_dump(mode="json") for one in each for name, v in one.variants.items()}:
        asked["variants"] = variants
    return with_values(settings, named | own | asked, f"the settings of {len(packs)} packs together")


def _join(packs: list[Pack], unpacked: Mapping[str, Path], folder: Path) -> int:
    """Move every result into `folder`; the number of those that several packs hold.

    Raises ValueError where two packs claim the same result with other content.
    """
    owners: dict[str, list[Pack]] = {}
    for pack in packs:
        for unit in _units(unpacked[pack.name]):
            owners.setdefault(unit, []).append(pack)
    for unit, of_unit in owners.items():
        contents = [_content(pack, unpacked[pack.name], unit) for pack in of_unit]
        for pack, content in zip(of_unit[1:], contents[1:], strict=True):
            _check_same(unit, of_unit[0].name, contents[0], pack.name, content)
        # of equal ones the one with the most files, because it may have the weights
        fullest = max(of_unit, key=lambda pack: len(_files(pack, unit)))
        for path in [unpacked[fullest.name] / unit, *recipes_of(unpacked[fullest.name], unit)]:
            target = folder / path.relative_to(unpacked[fullest.name])
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return sum(len(of_unit) > 1 for of_unit in owners.values())


def _units(folder: Path) -> list[str]:
    places = (place for kind in (*MEASURED, *CONTINUED) for place in folder.glob(f"{kind}/{MERGED_UNITS[kind]}"))
    return sorted(place.relative_to(folder).as_posix() for place in places)


def _files(pack: Pack, unit: str) -> dict[str, str]:
    files = pack.manifest.files.items()
    return {name: member.sha256 for name, member in files if name.startswith(f"{unit}/")}


def _content(pack: Pack, folder: Path, unit: str) -> dict[str, str]:
    """What a result is by its digests: of a run that of its weights, of anything else those of its numbers."""
    if unit.startswith("runs/"):
        record = next(file for file in sorted((folder / unit).glob("*.json")))
        return {"weights": read_json(record, ("weights",))["weights"]}
    return {name: digest for name, digest in _files(pack, unit).items() if Path(name).suffix in COMPARED_ENDINGS}


def _check_same(unit: str, first: str, ours: Mapping[str, str], other: str, theirs: Mapping[str, str]) -> None:
    for name in sorted({*ours, *theirs}):
        here, there = (each.get(name, "not there")[:12] for each in (ours, theirs))
        if here != there:
            what = f"{unit} with other weights" if name == "weights" else f"{unit} with another {name}"
            raise ValueError(
                f"{other} cannot be merged with {first}: both have {what} ({here} in {first}, {there} in {other}): leave "
                f"{unit} and what was made from it out of one, or train one of them with another seed"
            )


def _drop_missing_from_lists(folder: Path) -> None:
    """Leave out of runs' lists of checksums what no pack brought."""
    for listing in folder.glob(f"runs/*/{CHECKSUMS}"):
        write_list(listing, [file for file in listed_files(listing) if file.exists()])


def _write_record(packs: list[Pack], settings: Settings, folder: Path) -> None:
    """Which packs were merged, and the settings to go on with, as Snakemake takes them."""
    about = [
        {
            "file": pack.path.name,
            "sha256": file_digest(pack.path),
            "seeds": list(pack.settings.seeds),
            "runs": sorted({name.split("/")[1] for name in pack.manifest.files if name.startswith("runs/")}),
            "made": dict(pack.manifest.made),
        }
        for pack in packs
    ]
    write_json(folder / MERGE_FOLDER / "packs.json", {"packs": about, "made": provenance_record()})
    write_text(folder / MERGE_FOLDER / "settings.yaml", yaml.safe_dump(overrides(settings), sort_keys=False))
    write_checksums(folder / MERGE_FOLDER)


def merge_summary(merged: Merged, out: Path) -> str:
    """What was merged, and what to type next."""
    settings, wanted = merged.settings, f"results/{merged.settings.folder}"
    seeds = ", ".join(map(str, settings.seeds))
    lines = [
        f"{out}: {merged.runs} runs, seeds {seeds}; {merged.duplicates} results are in several packs, with equal content",
        f"tables were made again from the scores: all {merged.numbers:,} numbers of the packed tables are theirs",
    ]
    if merged.incomplete:
        lines.append(f"tables {', '.join(merged.incomplete)} lack runs or evaluations, whose cells say so")
    for key, path in places(settings).items():
        if not Path(path).exists():
            lines.append(f"{key}: there is nothing at {path}: to make what needs it, merge with --place {key}=PATH")
    is_found = out.absolute().as_posix().endswith(f"/{wanted}")
    folder = out.absolute().parents[1] if is_found else Path("FOLDER")
    lines += [] if is_found else [f"to go on, move it to FOLDER/{wanted}, then"]
    lines.append(
        f"snakemake --cores all --directory {folder} --configfile {folder / wanted / MERGE_FOLDER / 'settings.yaml'}"
    )
    return "\n".join(lines)
