"""Where recipes lie among the results, and the checksums of results that stayed elsewhere. No Snakemake, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

RECIPES = "recipes"
UNFINISHED = "a job that did not end"
"""Stands in a recipe while its job runs: whatever ends the job, it is made again."""
FAILED = "a job that failed"
"""Stands in a recipe once its job has failed, so that the results say so on their own."""
ELSEWHERE = "elsewhere.json"
"""Among the recipes: the checksums of results that stayed elsewhere, by name, as a merge of packs leaves them."""


def known_elsewhere(root: Path) -> dict[str, str]:
    """The checksums of results that stayed elsewhere, by name below the folder `root`; none where they cannot be read."""
    try:
        given = json.loads((root / RECIPES / ELSEWHERE).read_text(encoding="utf-8"))
        return {str(name): str(checksum) for name, checksum in given.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def finished_results(root: Path) -> Iterator[Path]:
    """The results below the folder `root` that jobs made and ended well, by their recipes: the first output of each job."""
    folder = root / RECIPES
    for recipe in sorted(folder.rglob("*.json")):
        text = recipe.read_text(encoding="utf-8", errors="replace")
        if recipe != folder / ELSEWHERE and UNFINISHED not in text and FAILED not in text:
            yield root / recipe.relative_to(folder).with_suffix("")
