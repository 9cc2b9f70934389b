"""Whether packs can be counted as one result: the same settings, rules, images and labels. No torch.

Each of these is a fact with a key and a value. Packs whose facts differ are refused, with the key and both values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np

from vggrepro.core.arrays import read_array, read_ids
from vggrepro.core.checksums import CHECKSUMS_SUFFIX, listed_files
from vggrepro.core.leftovers import visible_files
from vggrepro.core.printable import shortened, visible
from vggrepro.core.records import read_released
from vggrepro.packs.manifest import Pack, rules_here
from vggrepro.packs.origin import differences, flat, is_place
from vggrepro.tables.lineage import StoredResult, read_training, stored_results
from vggrepro.training.files import WEIGHTS

MAY_DIFFER = {"seeds", "threads", "localisation", "ours"}
"""Settings in which packs may differ, because they only say what was run; so may the places of data sets."""
SHOWN_DIGITS = 12
"""Characters of a digest in a message."""
Facts = dict[str, object]


def check_settings(packs: list[Pack]) -> None:
    """A ValueError for packs that were made with other settings or rules than the first, or with other rules than ours."""
    first, *others = packs
    for other in others:
        advice = "make both with the same settings and rules"
        _check(
            first.name, _declared(first), other.name, _declared(other), f"cannot be merged with {first.name}: {advice}"
        )
    _check_variants(packs)
    made = first.manifest.made
    version = f"{made['versions'].get('vggrepro', 'unknown')} (commit {made['commit'][:SHOWN_DIGITS]})"
    advice = f"has other rules than {first.name}: merge with the version that packed it, {version}"
    _check(first.name, _rules(first.manifest.rules), "this program", _rules(rules_here()), advice)


def _check_variants(packs: list[Pack]) -> None:
    """Each pack may have variants of its own, but two of one name have to be one."""
    known: dict[str, tuple[str, Facts]] = {}
    for pack in packs:
        for name, variant in pack.settings.variants.items():
            first, expected = known.setdefault(name, (pack.name, variant.model_dump(mode="json")))
            problem = (
                f"cannot be merged with {first}: the variant {name!r} is another there, call one of them otherwise"
            )
            _check(first, expected, pack.name, variant.model_dump(mode="json"), problem)


def _declared(pack: Pack) -> Facts:
    values = flat(pack.settings.model_dump(mode="json", exclude={"variants"}))
    # released nets have a folder of their own
    folder: Facts = {"the folder of results": pack.settings.folder}
    return folder | {k: v for k, v in values if k not in MAY_DIFFER and not is_place(k)} | _rules(pack.manifest.rules)


def _rules(digests: Mapping[str, str]) -> Facts:
    return {f"rules in {file}": digest[:SHOWN_DIGITS] for file, digest in digests.items()}


def check_images(folders: Mapping[str, Path]) -> None:
    """A ValueError for unpacked packs, by name, of other images or labels than the first, or each of several."""
    facts = {name: _images(name, folder) for name, folder in folders.items()}
    (first, expected), *others = facts.items()
    for other, of_other in others:
        for kind in ("scores", "boxes"):
            _check_labels(first, folders[first] / kind, other, folders[other] / kind)
        shared = expected.keys() & of_other.keys()
        ours, theirs = ({key: each[key] for key in each if key in shared} for each in (expected, of_other))
        advice = f"cannot be merged with {first}: only results on the same images can: leave one out"
        _check(first, ours, other, theirs, advice)
        expected = expected | of_other


def _check(first: str, ours: Facts, other: str, theirs: Facts, problem: str) -> None:
    if changed := differences(ours, theirs):
        lines = [
            f"  {key} is {shortened(here)} in {first}, {shortened(there)} in {other}"
            for key, (here, there) in changed.items()
        ]
        raise ValueError(visible("\n".join((f"{other} {problem}", *lines)), kept="\n"))


def _images(name: str, folder: Path) -> Facts:
    """The digests of all images that the results of a pack are of, by what they are."""
    facts: dict[str, object] = {}
    for key, digest, file in _digests(folder):
        if facts.setdefault(key, digest) != digest:
            raise ValueError(
                f"{name}: {file} is of other {key} than the rest of the pack ({digest}, not {facts[key]}): run snakemake "
                "where the pack was made, and pack again"
            )
    return facts


def _digests(folder: Path) -> Iterator[tuple[str, str, str]]:
    for path in visible_files(folder, "runs/*/run.json"):
        data, about = read_training(path).about["data"], path.relative_to(folder).as_posix()
        yield "training images", data["train"][:SHOWN_DIGITS], about
        yield "validation images", data["val"][:SHOWN_DIGITS], about
    for path in visible_files(folder, "runs/*/adopted.json"):
        yield (
            "validation images",
            read_released(path)["data"]["val"][:SHOWN_DIGITS],
            path.relative_to(folder).as_posix(),
        )
    for place, result in stored_results(folder).items():
        yield f"{result.about.get('collection', 'validation')} images", result.data[:SHOWN_DIGITS], place


def _check_labels(first: str, ours: Path, other: str, theirs: Path) -> None:
    """A ValueError that names the first image whose label differs between two folders of stores, or that one of them lacks.

    Within a pack all stores agree: whoever makes its tables sees to that.
    """
    here, there = (next(iter(visible_files(folder, "*/*/*/labels.npy")), None) for folder in (ours, theirs))
    if here is None or there is None:
        return
    (ids, labels), (other_ids, other_labels) = map(_read_labels, (here, there))
    for mine, theirs_ in zip_longest(zip(ids, labels, strict=True), zip(other_ids, other_labels, strict=True)):
        if mine != theirs_:
            is_here, is_there = (
                "lacking" if each is None else f"{each[0]} of class {each[1]}" for each in (mine, theirs_)
            )
            raise ValueError(
                f"{other} cannot be merged with {first}: only results with the same labels can be merged: leave one out\n"
                f"  labels: an image is {is_here} in {first}, {is_there} in {other}"
            )


def _read_labels(file: Path) -> tuple[list[str], list[int]]:
    ids = list(read_ids(file.with_name("ids.txt"), "get the pack again"))
    return ids, read_array(file, np.int64, (len(ids),), "get the pack again").tolist()


def check_listed_files(pack: Pack, folder: Path) -> None:
    """A ValueError for a list of checksums in an unpacked pack that names a file outside of its folder."""
    for listing in sorted(folder.rglob(f"*{CHECKSUMS_SUFFIX}")):
        for file in listed_files(listing):
            if not file.is_relative_to(listing.parent) or ".." in file.relative_to(listing.parent).parts:
                named = listing.relative_to(folder)
                raise ValueError(f"{pack.name}: {named} lists a file outside of its folder: get the pack again")


def check_records(pack: Pack, folder: Path) -> None:
    """A ValueError for a record in an unpacked pack that is not of its place, or of other weights than its run has."""
    name, weights = pack.name, {}
    if lacking := [run.name for run in sorted(folder.glob("runs/*")) if not any(run.glob("*.json"))]:
        raise ValueError(f"{name}: runs/{lacking[0]} has no record: get the pack again")
    for path in visible_files(folder, "runs/*/*.json"):
        about = read_released(path) if path.name == "adopted.json" else read_training(path).about
        if about["run"] != path.parent.name:
            raise ValueError(f"{name}: {path.relative_to(folder)} is the record of {about['run']}: get the pack again")
        weights[about["run"]] = about["weights"]
        file = f"runs/{about['run']}/{WEIGHTS}"
        if (packed := pack.manifest.files.get(file)) and packed.sha256 != about["weights"]:
            raise ValueError(f"{name}: {file} is not the file of its record: get the pack again")
    for place, result in stored_results(folder).items():
        if (own := _place_of(result)) != place:
            raise ValueError(f"{name}: {place}/made.json is the record of {own}: get the pack again")
        for run, digest in result.weights.items():
            if weights.get(run) != digest:
                here, there = digest[:SHOWN_DIGITS], str(weights.get(run, "not there"))[:SHOWN_DIGITS]
                raise ValueError(
                    f"{name}: {place} is of the weights {here} of {run}, but those of its run are {there}: run snakemake "
                    "where the pack was made, and pack again"
                )


def _place_of(result: StoredResult) -> str:
    """Where a result lies by its own record."""
    about, kind = result.about, result.path.split("/")[0]
    if kind in ("scores", "boxes"):
        return f"{kind}/{about.get('run')}/{about.get('protocol')}/{about.get('Q')}"
    if kind == "features":
        return f"{kind}/{about.get('run')}/{about.get('name')}"
    return f"{kind}/{about.get('task')}/{'+'.join(map(str, about.get('nets', ())))}"
