"""Pages that are kept in git say what the code says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vggrepro.core.paths import ROOT


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import generate

    return generate


def test_kept_pages_follow_the_code(generate):
    outdated = [
        path.relative_to(ROOT).as_posix()
        for path, text in generate.kept_pages().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert outdated == [], "run `make docs` and commit what it wrote"


def test_every_room_has_a_page_in_the_navigation(generate):
    config = SimpleNamespace(nav=[{"Home": "index.md"}, {"Reference": ["reference/settings.md"]}])
    generate.on_config(config)
    pages = config.nav[1]["Reference"][1]["API"]
    rooms = {path.stem for path in (ROOT / "vggrepro").iterdir() if not path.name.startswith("__")}
    assert {page.removeprefix("reference/api/").removesuffix(".md") for page in pages} == rooms
