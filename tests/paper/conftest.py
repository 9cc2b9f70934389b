"""A copy of the published tables that a test may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vggrepro.paper import tables


def clear_caches() -> None:
    for cached in (tables.published_table, tables._described, tables._scales_by_run):
        cached.cache_clear()


@pytest.fixture
def published(tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder of a copy, which is read in place of the repository's; `clear_caches` makes a change in it known."""
    folder = shutil.copytree(tables.PUBLISHED, tmp_path / "published")
    monkeypatch.setattr(tables, "PUBLISHED", folder)
    clear_caches()
    yield folder
    clear_caches()
