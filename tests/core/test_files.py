"""Writing so that nothing half-written is ever found."""

from __future__ import annotations

from functools import partial

import pytest

from vggrepro.core.files import Files, atomic_file, atomic_folder, read_json, write_json


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "file"
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"


def test_a_failure_keeps_what_was_there(tmp_path):
    for make, name in ((atomic_file, "file"), (partial(atomic_folder, marker="x"), "folder")):
        target = tmp_path / name
        with make(target) as temporary:
            (temporary if name == "file" else temporary / "x").write_text("old")
        with pytest.raises(RuntimeError), make(target):
            raise RuntimeError
        assert (target if name == "file" else target / "x").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    for name in ("a", "b"):
        with atomic_folder(tmp_path / "folder", "marker") as temporary:
            (temporary / name).touch()
            (temporary / "marker").touch()
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["b", "marker"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="it will not be replaced"), atomic_folder(tmp_path, "made.json"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_results_are_readable_by_others_as_the_user_set_it(tmp_path):
    write_json(tmp_path / "x.json", 1)
    (tmp_path / "y").touch()
    assert (tmp_path / "x.json").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"x.json: damaged \(Expecting"):
        read_json(tmp_path / "x.json")


def test_a_file_that_is_not_in_the_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing.txt cannot be read"):
        Files(tmp_path).read("nothing.txt")
