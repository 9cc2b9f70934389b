"""Writing so that nothing half-written is ever found."""

from __future__ import annotations

import errno
import os
import zipfile
from functools import partial

import pytest

from vggrepro.core import limits
from vggrepro.core.checksums import CHECKSUMS, write_checksums
from vggrepro.core.files import (
    Files,
    atomic_file,
    atomic_folder,
    check_ending,
    check_holds_only,
    checked_again,
    read_json,
    read_regular,
    read_text,
    write_json,
)
from vggrepro.core.yaml_files import read_yaml


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
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["b", CHECKSUMS, "marker"]


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a: {b: 1, c: [1], b: 2}", "- {x: &y {a: 1}, x: *y}", '"1": a\n1: b'])
def test_a_key_that_stands_twice_is_named(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"x.yaml: .* stands twice, again in line \d: keep one"):
        read_yaml(tmp_path / "x.yaml")


def test_keys_that_are_merged_in_may_be_replaced(tmp_path):
    (tmp_path / "x.yaml").write_text("- &a {x: 1, y: [{x: 1}, {x: 2}]}\n- {<<: *a, x: 3}")
    assert read_yaml(tmp_path / "x.yaml")[1]["x"] == 3


def test_what_is_no_damage_does_not_advise_to_delete(tmp_path):
    file = tmp_path / "x"
    for number in (errno.EACCES, errno.ENOSPC, errno.EFBIG, errno.EMFILE, errno.EIO):
        with pytest.raises(OSError, match="x") as caught, checked_again(file, "make it again"):
            raise OSError(number, os.strerror(number), str(file))
        assert "delete" not in str(caught.value)
    with pytest.raises(ValueError, match="damaged .*delete"), checked_again(file, "make it again"):
        raise OSError("a header of another kind")


def test_a_file_that_is_in_no_list_may_be_the_users(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="if this program did not make it, it is another file"):
        read_json(tmp_path / "README.md")
    write_checksums(tmp_path)
    with pytest.raises(ValueError, match="with Snakemake, the same command does so"):
        read_json(tmp_path / "README.md")


def test_an_array_that_the_disk_takes_a_part_of_says_so(tmp_path):
    with (
        pytest.raises(OSError, match="array.npy: .*480 written.*is the disk full"),
        atomic_file(tmp_path / "array.npy"),
    ):
        raise OSError("4000 requested and 480 written")


def test_a_file_of_another_kind_and_a_folder_of_others_are_not_written_to(tmp_path):
    with pytest.raises(ValueError, match=r"README.md: expected the name of a file to write that ends in .zip"):
        check_ending(tmp_path / "README.md", ".zip")
    (tmp_path / "run.json").touch()
    check_holds_only(tmp_path, ("run.json",))
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="not ours, because it holds thesis.tex"):
        check_holds_only(tmp_path, ("run.json",))


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


def packed(path, *names, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, bytes(2000))
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["tables//t.csv", "./tables/t.csv", "tables/./t.csv", "tables/t.csv"])
def test_a_second_name_of_a_file_in_a_zip_is_refused(tmp_path, name):
    evil = packed(tmp_path / "evil.zip", "tables/t.csv", name)
    with pytest.raises(ValueError, match="is not the plain or not the only name of its file"):
        Files(evil)


def test_a_file_of_a_zip_that_says_it_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    files = Files(packed(tmp_path / "bomb.zip", "a"))
    monkeypatch.setattr(limits, "FILE_BYTES", 1999)
    with pytest.raises(ValueError, match="bomb.zip: a cannot be read: 2,000 bytes, expected at most 1,999"):
        files.read("a")


def test_a_method_of_compression_without_bounds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="packed by another method than deflate"):
        Files(packed(tmp_path / "bomb.zip", "a", method=zipfile.ZIP_BZIP2))


def test_a_pipe_and_a_device_among_files_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(ValueError, match=f"{name} cannot be read: .*{name}: expected a file, got a pipe, a device"):
            Files(tmp_path).read(name)


def test_a_file_that_is_too_large_is_named_and_not_read(tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    with pytest.raises(ValueError, match="x: has 3 bytes, expected at most 2"):
        read_regular(tmp_path / "x", 2)
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match="latin: cannot be read as text in UTF-8"):
        read_text(tmp_path / "latin")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 200 + "]" * 200, "- " * 200 + "x"], ids=["open", "lists", "entries"]
)
def test_yaml_that_is_nested_too_deeply_is_refused(tmp_path, text):
    """A parser that goes down with it ends the whole program, without a word."""
    file = tmp_path / "deep.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"deep.yaml: cannot be read as YAML: more than 100 levels"):
        read_yaml(file)
