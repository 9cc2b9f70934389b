"""A file that somebody gives as a pack is a whole and honest one, or one message says what is wrong; nothing is written."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.packs.made import forged, smoke, write_packed
from vggrepro import cli
from vggrepro.packs.manifest import MANIFEST, PACK_VERSION, open_pack
from vggrepro.packs.merge import merge_packs
from vggrepro.packs.write import write_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """One net of one seed."""
    return write_packed(tmp_path_factory.mktemp("pack"), "good", smoke(0), nets="A", tables=False)


def refused(pack: Path, out: Path) -> str:
    """The message with which the command refuses a pack; it leaves nothing behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(ValueError) as error:
        merge_packs([pack], out)
    assert sorted(out.parent.iterdir()) == before
    assert str(pack) in str(error.value)
    return str(error.value)


def test_the_command_ends_with_one_message(pack, tmp_path, capsys):
    (tmp_path / "text.zip").write_text("no pack")
    assert cli.main(["merge", str(tmp_path / "text.zip"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["merge", "--out", str(tmp_path / "out")]) == 2
    assert cli.main(["merge", str(pack), "--out", str(tmp_path / "out"), "--place", "data.path"]) == 2
    assert cli.main(["merge", str(pack), "--out", str(tmp_path / "out"), "--place", "train.batch=3"]) == 2


def test_other_kinds_of_files_are_no_packs(pack, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("ro-crate-metadata.json", "{}")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(MANIFEST, "[]")
    assert "whole zip" in refused(tmp_path / "a.txt", tmp_path / "out")
    assert f"it has no {MANIFEST}" in refused(tmp_path / "b.zip", tmp_path / "out")
    assert "cannot be read" in refused(tmp_path / "c.zip", tmp_path / "out")
    assert "got a folder" in refused(pack.with_suffix(""), tmp_path / "out")
    assert "of another program" in refused(
        forged(pack, tmp_path / "d.zip", change=lambda m: m.update(form="x")), tmp_path / "out"
    )


def test_a_newer_pack_asks_for_a_newer_program(pack, tmp_path):
    newer = forged(pack, tmp_path / "newer.zip", change=lambda m: m.update(version=PACK_VERSION + 1, more=1))
    assert f"version {PACK_VERSION + 1}, and this program reads up to version {PACK_VERSION}" in refused(
        newer, tmp_path / "out"
    )


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_pack_that_is_cut_is_refused(pack, tmp_path, part):
    data = pack.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(part * len(data))])
    assert "whole zip" in refused(tmp_path / "cut.zip", tmp_path / "out")


def test_a_flipped_byte_is_found_wherever_it_is(pack, tmp_path):
    data = pack.read_bytes()
    for place in range(50, len(data) - 50, len(data) // 40):
        (tmp_path / "bad.zip").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert open_pack(tmp_path / "bad.zip").unpack(tmp_path / "unpacked") is None
        except ValueError as error:
            assert str(tmp_path / "bad.zip") in str(error)  # noqa: PT017
        else:
            # of a date or another field of the zip that nobody reads
            assert _content(tmp_path / "bad.zip") == _content(pack)


def _content(pack: Path) -> list[bytes]:
    with zipfile.ZipFile(pack) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_content_that_is_not_of_its_digest_is_refused(pack, tmp_path):
    name = "runs/A_256_s0/metrics.csv"

    def other_digest(manifest):
        manifest["files"][name]["sha256"] = "0" * 64

    def other_size(manifest):
        manifest["files"][name]["bytes"] += 1

    odd = forged(pack, tmp_path / "odd.zip", change=other_digest)
    assert f"{name} has the SHA-256" in refused(odd, tmp_path / "out")
    odd = forged(pack, tmp_path / "odd.zip", change=other_size)
    assert f"'{name}' has " in refused(odd, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../runs/x.json", "/tmp/x.json", "runs/../../x.json", "runs\\x.json", "runs/.bashrc", "runs/x.py", "x.json",
             "workflow/x.json", "runs", "RUNS/A_256_s0/run.json", "runs/a_256_S0/run.json"],
)  # fmt: skip
def test_names_that_no_result_has_are_refused(pack, tmp_path, name):
    odd = forged(pack, tmp_path / "odd.zip", {name: b"{}"})
    assert repr(name).casefold() in refused(odd, tmp_path / "out").casefold()
    assert not (tmp_path / "out").exists()


def test_a_member_without_a_name_is_refused(pack, tmp_path):
    with zipfile.ZipFile(forged(pack, tmp_path / "odd.zip", change=_names_a_dot), "a") as archive:
        archive.writestr(".", b"{}")
    assert "'.' is no file of results" in refused(tmp_path / "odd.zip", tmp_path / "out")


def _names_a_dot(manifest):
    manifest["files"]["."] = {"sha256": "0" * 64, "bytes": 2, "sorted": False}


def test_links_devices_and_files_that_the_manifest_lacks_are_refused(pack, tmp_path):
    for mode, words in ((stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "a device"), (0, "is not in pack.json")):
        odd = forged(pack, tmp_path / "odd.zip", {"runs/a.json": b"/etc/passwd"} if mode else {})
        with zipfile.ZipFile(odd) as archive, zipfile.ZipFile(tmp_path / "odder.zip", "w") as other:
            for info in archive.infolist():
                data = archive.read(info)
                info.external_attr = (mode | 0o644) << 16 if info.filename == "runs/a.json" else info.external_attr
                other.writestr(info, data)
            if not mode:
                other.writestr("runs/b.json", "{}")
        assert words in refused(tmp_path / "odder.zip", tmp_path / "out")


def test_a_bomb_is_refused_by_its_header_and_cannot_lie_about_its_size(pack, tmp_path):
    bomb = forged(pack, tmp_path / "bomb.zip", {"scores/A_256_s0/dense/256/more.npy": bytes(1 << 26)})
    assert "more than results do" in refused(bomb, tmp_path / "out")
    text = forged(pack, tmp_path / "text.zip", {"runs/A_256_s0/run.json": b"[" * (1 + (1 << 26))})
    assert "run.json' has 67,108,865 bytes, expected at most 67,108,864" in refused(text, tmp_path / "out")
    many = forged(pack, tmp_path / "many.zip", change=lambda m: m.update(more="x" * (1 << 26)))
    assert "pack.json has " in refused(many, tmp_path / "out")
    liar = forged(pack, tmp_path / "liar.zip", {"scores/A_256_s0/dense/256/more.npy": bytes(1 << 20)})
    size, data = struct.pack("<I", 1 << 20), liar.read_bytes()
    liar.write_bytes(data.replace(size, struct.pack("<I", 100)))

    def less(manifest):
        manifest["files"]["scores/A_256_s0/dense/256/more.npy"]["bytes"] = 100

    assert data.count(size) >= 2, "in the header of the file, and in the list at the end"
    refused(liar, tmp_path / "out")


def test_nothing_is_unpickled(pack, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    buffer = io.BytesIO()
    np.save(buffer, np.array([[Trap()]], object), allow_pickle=True)
    for data in (buffer.getvalue(), pickle.dumps(Trap())):
        odd = forged(pack, tmp_path / "odd.zip", {"scores/A_256_s0/dense/256/posteriors.npy": data})
        assert "posteriors.npy: damaged" in refused(odd, tmp_path / "out")
    assert not (tmp_path / "sprung").exists()


def test_records_of_another_run_or_place_are_refused(pack, tmp_path):
    folder = pack.with_suffix("")
    files = {
        "runs/A_256_s0/run.json": (folder / "runs/A_256_s0/run.json").read_bytes().replace(b'"A_256_s0"', b'"B_256_s0"')
    }
    assert "is the record of B_256_s0" in refused(forged(pack, tmp_path / "odd.zip", files), tmp_path / "out")
    name = "scores/A_256_s0/dense/256/made.json"
    files = {name: (folder / name).read_bytes().replace(b'"Q": 256', b'"Q": 288')}
    assert "is the record of scores/A_256_s0/dense/288" in refused(
        forged(pack, tmp_path / "odd.zip", files), tmp_path / "out"
    )


@pytest.mark.parametrize("name", ["../../../secret", "/etc/passwd", "x/../../y"])
def test_a_list_of_checksums_cannot_name_files_outside(pack, tmp_path, name):
    listing = f"{'0' * 32}  {name}\n".encode()
    odd = forged(pack, tmp_path / "odd.zip", {"runs/A_256_s0/checksums.xxh128": listing})
    assert "runs/A_256_s0/checksums.xxh128 lists a file outside of its folder" in refused(odd, tmp_path / "out")


def test_a_run_without_a_record_is_refused(pack, tmp_path):
    odd = forged(pack, tmp_path / "odd.zip", {"runs/B_256_s0/metrics.csv": b"epoch\n1\n"})
    assert "runs/B_256_s0 has no record" in refused(odd, tmp_path / "out")


def test_settings_of_a_pack_are_checked_like_a_users(pack, tmp_path):
    odd = forged(pack, tmp_path / "odd.zip", change=lambda m: m["settings"]["train"].update(epoch=3))
    assert "settings: no key is called 'train.epoch' (did you mean 'epochs'?)" in refused(odd, tmp_path / "out")


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"layout": "ilsvrc", "path": "/etc"}},
        {"imported": {"A": {"file": "a.npy"}}},
        {"validation": {"V2": "/etc"}},
        {"transfer": {"voc2007": "../x"}},
    ],
)
def test_a_pack_cannot_name_files_of_our_machine(pack, tmp_path, given):
    def change(manifest):
        for key, values in given.items():
            manifest["settings"][key] = manifest["settings"].get(key, {}) | values

    odd = forged(pack, tmp_path / "odd.zip", change=change)
    assert "names files of a machine, which no pack does" in refused(odd, tmp_path / "out")


def test_a_folder_without_results_and_damaged_results_are_not_packed(pack, tmp_path):
    with pytest.raises(ValueError, match="run snakemake, which writes that down, or give --settings"):
        write_pack(tmp_path, tmp_path / "a.zip")
    with pytest.raises(ValueError, match="no run has ended here"):
        write_pack(tmp_path, tmp_path / "a.zip", settings=smoke(0))
    import shutil

    folder = shutil.copytree(pack.with_suffix(""), tmp_path / "results")
    file = next(folder.rglob("posteriors.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"posteriors.npy: damaged"):
        write_pack(folder, tmp_path / "a.zip", settings=smoke(0))
    assert not (tmp_path / "a.zip").exists()
