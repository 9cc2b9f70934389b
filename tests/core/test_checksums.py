"""Lists of checksums: what is written is believed, what is changed is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.core.checksums import (
    CHECKSUMS,
    CHECKSUMS_SUFFIX,
    SNAKEMAKES,
    check_file,
    file_checksum,
    listed_files,
    recorded_checksum,
    result_to_delete,
    write_checksums,
    write_list,
)
from vggrepro.core.files import checked, is_made_of, read_json, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result with a folder in it that has a list of its own."""
    for name in ("a.npy", "deep/b.txt", "own/c.txt"):
        (tmp_path / "r" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / name).write_text(name)
    write_checksums(tmp_path / "r/own")
    write_checksums(tmp_path / "r")
    return tmp_path / "r"


def test_whole_files_pass_and_every_file_is_listed_once(folder):
    for name in ("a.npy", "deep/b.txt", "own/c.txt", f"own/{CHECKSUMS}"):
        check_file(folder / name)
    names = {path.relative_to(folder).as_posix() for path in listed_files(folder / CHECKSUMS)}
    assert names == {"a.npy", "deep/b.txt", f"own/{CHECKSUMS}"}


@given(place=st.integers(0, 9), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(tmp_path_factory, place, bit):
    root = tmp_path_factory.mktemp("r")
    (root / "x").write_bytes(bytes(range(10)))
    write_checksums(root)
    data = bytearray(range(10))
    data[place] ^= 1 << bit
    (root / "x").write_bytes(data)
    with pytest.raises(ValueError, match="its bytes are not those"):
        check_file(root / "x")


@pytest.mark.parametrize("name", ["a.npy", "deep/b.txt"])
def test_a_damaged_list_passes_no_file_that_it_was_damaged_at(folder, name):
    listing = folder / CHECKSUMS
    listing.write_text(listing.read_text().replace(name, "x" + name[1:]))
    with pytest.raises(ValueError, match=f"{CHECKSUMS} does not list it"):
        check_file(folder / name)
    listing.write_text("no list")
    with pytest.raises(ValueError, match=f"{CHECKSUMS} is damaged"):
        check_file(folder / name)


def test_a_list_beside_a_file_counts_before_that_of_the_folder(folder):
    (folder / "table.csv").write_text("1")
    write_list(folder / f"table{CHECKSUMS_SUFFIX}", [folder / "table.csv"])
    check_file(folder / "table.csv")
    (folder / "table.csv").write_text("2")
    with pytest.raises(ValueError, match="table.xxh128"):
        check_file(folder / "table.csv")


def test_content_has_one_name_wherever_it_lies_and_whenever_it_was_written(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy)
    for name in ("", "a.npy", "own", "own/c.txt"):
        assert recorded_checksum(folder / name) == recorded_checksum(copy / name) is not None
    (copy / "own/c.txt").write_text("other")
    write_checksums(copy / "own")
    write_checksums(copy)
    assert recorded_checksum(folder) != recorded_checksum(copy)
    assert recorded_checksum(folder / "deep") is None


def test_what_is_to_be_deleted_is_what_snakemake_makes(folder):
    """Of a folder in an output the whole output: without a part of it, nothing would be missing to Snakemake."""
    assert result_to_delete(folder / "own/c.txt") == folder / "own"
    (folder / SNAKEMAKES).touch()
    assert result_to_delete(folder / "own/c.txt") == folder
    (folder / "table.csv").touch()
    write_list(folder / f"table{CHECKSUMS_SUFFIX}", [folder / "table.csv"])
    assert result_to_delete(folder.parent / "x.csv") == folder.parent / "x.csv"


def test_damage_is_named_with_what_to_delete_and_how_to_make_it_again(folder):
    (folder / "a.npy").write_text("other")
    message = f"a.npy: damaged .*: delete {folder} and evaluate again; with Snakemake, the same command does so"
    with pytest.raises(ValueError, match=message), checked(folder / "a.npy", "evaluate again"):
        pytest.fail("the block was entered")


def test_a_result_is_made_of_what_its_record_says_if_it_is_whole(tmp_path):
    write_json(tmp_path / "made.json", {"weights": "w", "Q": 256, "seconds": 1.5})
    (tmp_path / "x.npy").write_text("x")
    write_checksums(tmp_path)
    assert is_made_of(tmp_path / "made.json", {"weights": "w", "Q": 256})
    assert not is_made_of(tmp_path / "made.json", {"weights": "v", "Q": 256})
    assert not is_made_of(tmp_path / "made.json", {"other": None, "Q": 256})
    assert read_json(tmp_path / "made.json", ("seconds",))["seconds"] == 1.5
    (tmp_path / "x.npy").write_text("y")
    assert not is_made_of(tmp_path / "made.json", {"weights": "w", "Q": 256})
    (tmp_path / "x.npy").unlink()
    assert not is_made_of(tmp_path / "made.json", {"weights": "w", "Q": 256})
    assert not is_made_of(tmp_path / "nothing.json", {})


def test_a_large_file_has_one_checksum_however_it_is_read(tmp_path):
    (tmp_path / "x").write_bytes(bytes(3_000_001))
    import xxhash

    assert file_checksum(tmp_path / "x") == xxhash.xxh3_128_hexdigest(bytes(3_000_001))
