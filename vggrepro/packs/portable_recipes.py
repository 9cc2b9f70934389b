"""Recipes in a pack: what becomes of paths, and what stands for inputs that stay behind.

A recipe says what a job was made from: parameters as Python writes them, then a line `name: checksum` for each input. Images
stay behind, and so may weights and features. `recipes/elsewhere.json` has their checksums, so that nothing that was made from
them is made again for the want of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vggrepro.core.files import DAMAGE, write_json
from vggrepro.core.recipes import ELSEWHERE, RECIPES, UNFINISHED, known_elsewhere

PARAMETER_STARTS = ("'", '"', "[", "{")
"""How the lines of parameters begin."""
OF_RESULTS = ("data/", "runs/", "scores/", "boxes/", "answers/", "features/", "splits/", "transfer/")
"""How the names of inputs begin that are results, too."""


def read_recipe(file: Path) -> list[str]:
    """The lines of a recipe; a ValueError that names it where it is damaged."""
    try:
        return [str(line) for line in json.loads(file.read_text(encoding="utf-8"))]
    except DAMAGE as error:
        raise ValueError(f"{file}: damaged ({error}): delete it and what it is of, and run snakemake") from None


def token(key: str) -> str:
    """What stands in a pack for the path that a setting names: no path has a brace in it."""
    return f"{{{key}}}"


def recipes_of(folder: Path, unit: str) -> list[Path]:
    """The recipes of a result such as `runs/D_256_s0` or `scores/D_256_s0/dense`, below a folder of results."""
    place = folder / RECIPES / unit
    own = place.with_name(f"{place.name}.json")
    return [*([own] if own.exists() else []), *sorted(place.rglob("*.json"))]


def settle_recipes(results: Path, places: dict[str, str]) -> None:
    """Put the paths of this machine into the recipes of merged results, and note what stands for inputs that are not there.

    Of an input that two packs leave behind, the first one's checksum stands in all recipes: that both are of the same images
    was seen by their digests, and colours are computed to the last bit on one machine alone.
    """
    elsewhere = known_elsewhere(results)
    for file in sorted((results / RECIPES).rglob("*.json")):
        if file.name == ELSEWHERE:
            continue
        lines = read_recipe(file)
        for key, place in places.items():
            lines = [line.replace(repr(token(key)), repr(place)) for line in lines]
        for name, content in list(_inputs(lines)):
            if not (results / name).exists():
                lines.remove(f"{name}: {content}")
                lines.append(f"{name}: {elsewhere.setdefault(name, content)}")
        write_json(file, sorted(lines))
    write_json(results / RECIPES / ELSEWHERE, elsewhere)


def _inputs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, content = line.partition(": ")
        if colon and not line.startswith(PARAMETER_STARTS) and name.startswith(OF_RESULTS) and line != UNFINISHED:
            yield name, content
