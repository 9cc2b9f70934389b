"""What is fetched is whole and the right one, or nothing is there; a cut, a kill or a full disk costs a block at most."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.servers import FileServer, Request, answer, cut, serving
from vggrepro import cli
from vggrepro.data import transport
from vggrepro.data.fetch import fetch
from vggrepro.settings import downloads

CONTENT = np.random.default_rng(0).bytes(300_000)
NAME = "images.zip"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FIRST_PAUSE": 0.0, "SECONDS_WITHOUT_A_BYTE": 0.3, "BYTES_PER_BLOCK": 10_000}.items():
        monkeypatch.setattr(transport, name, value)


@pytest.fixture
def listed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts one made-up entry, `images`, into the list of downloads."""
    listing = tmp_path_factory.mktemp("list") / "downloads.yaml"

    def put(server: FileServer, content: bytes | None = CONTENT, *, name: str = NAME, size: bool = True) -> None:
        digest = None if content is None else f"md5:{hashlib.md5(content).hexdigest()}"
        count = len(content) if content is not None and size else None
        file = {"name": name, "url": f"{server.address}/{name}", "bytes": count, "digest": digest, "source": "made up"}
        listing.write_text(yaml.safe_dump({"images": {"what": "images", "files": [file]}}))
        downloads.downloads.cache_clear()

    monkeypatch.setattr(downloads, "DOWNLOADS_FILE", listing)
    yield put
    downloads.downloads.cache_clear()


def packed(request: Request) -> bool:
    request.send(**{"Content-Encoding": "gzip"})
    return True


def fetched(folder: Path, **options: Any) -> bytes:
    return fetch("images", folder=folder, **options).read_bytes()


def left(folder: Path) -> set[str]:
    """The files below a folder, but for the lock."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


WHOLE = {"images/images.zip", "images/fetched.json"}


def test_a_file_comes_whole_with_a_record_of_its_digests_and_is_fetched_once(tmp_path, listed):
    with serving({NAME: CONTENT}) as server:
        listed(server)
        assert fetched(tmp_path / "d") == CONTENT
        assert fetched(tmp_path / "d") == CONTENT
    assert len(server.requests) == 1
    assert left(tmp_path / "d") == WHOLE
    record = json.loads((tmp_path / "d/images/fetched.json").read_text())
    digests = hashlib.sha256(CONTENT).hexdigest(), f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    file = record["files"][NAME]
    assert (file["sha256"], file["compared"]) == digests


@pytest.mark.parametrize("says_length", [True, False])
def test_a_cut_connection_is_taken_up_where_it_was_cut(tmp_path, listed, says_length):
    cuts = [cut(50_000), *[cut(30_000)] * (transport.TRIES + 1)]
    with serving({NAME: CONTENT}, misbehaviours=[*cuts], says_length=says_length) as server:
        listed(server)
        assert fetched(tmp_path) == CONTENT
    assert server.ranges_asked == [None, *(f"bytes={50_000 + 30_000 * k}-" for k in range(len(cuts)))]
    assert {headers.get("If-Range") for _, headers in server.requests[1:]} == {'"1"'}


def test_a_server_without_ranges_sends_the_file_anew(tmp_path, listed):
    with serving({NAME: CONTENT}, misbehaviours=[cut(50_000)], ranges=False) as server:
        listed(server)
        assert fetched(tmp_path) == CONTENT
    assert server.ranges_asked == [None, "bytes=50000-"]


def test_a_file_that_changed_after_a_cut_is_not_glued_to_the_old_one(tmp_path, listed):
    with serving({NAME: bytes(300_000)}) as server:

        def cut_and_change(request: Request) -> bool:
            request.send(cut_after=50_000)
            server.files[NAME], server.tag = CONTENT, '"2"'
            return True

        server.misbehaviours.append(cut_and_change)
        listed(server)
        assert fetched(tmp_path) == CONTENT


def test_a_server_that_does_not_know_if_range_is_not_believed(tmp_path, listed):
    with serving({NAME: bytes(300_000)}) as server:

        def cut_and_change(request: Request) -> bool:
            request.send(cut_after=50_000)
            server.files[NAME], server.tag = CONTENT, '"2"'
            return True

        def ignore(request: Request) -> bool:
            del request.headers["If-Range"]
            request.send()
            return True

        server.misbehaviours += [cut_and_change, ignore]
        listed(server, None)
        assert fetched(tmp_path) == CONTENT
    assert server.ranges_asked == [None, "bytes=50000-", None]


def test_an_archive_that_is_packed_itself_comes_as_it_is(tmp_path, listed):
    content = gzip.compress(CONTENT)
    with serving({"images.tar.gz": content}, misbehaviours=[packed]) as server:
        listed(server, content, name="images.tar.gz")
        assert fetched(tmp_path) == content


@pytest.mark.parametrize("part", [b"of another file", CONTENT[:1000], CONTENT, CONTENT + b"more"])
def test_a_part_that_was_there_is_continued_if_it_is_of_the_file_and_else_thrown_away(tmp_path, listed, part):
    (tmp_path / "images").mkdir()
    (tmp_path / f"images/.{NAME}.part").write_bytes(part)
    with serving({NAME: CONTENT}) as server:
        listed(server)
        assert fetched(tmp_path) == CONTENT
    assert left(tmp_path) == WHOLE
    assert server.ranges_asked[:1] != [None]


def test_a_part_of_nobody_knows_what_is_not_continued_where_nothing_compares_the_whole(tmp_path, listed, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / f"images/.{NAME}.part").write_bytes(b"of another file")
    with serving({NAME: CONTENT}) as server:
        listed(server, None)
        assert fetched(tmp_path) == CONTENT
    assert (
        f"could not be checked, because nobody says its digest; its SHA-256 is {hashlib.sha256(CONTENT).hexdigest()}"
        in (capsys.readouterr().err)
    )


WRONG = {
    "other bytes": (CONTENT[:-1] + b"x", "its MD5 is "),
    "cut on the server": (gzip.compress(CONTENT)[:-100], "its MD5 is |it is another file"),
    "a web page": (b" <!DOCTYPE html><title>Are you a robot?</title>", "It is a web page|it is another file"),
    "nothing": (b"", "its MD5 is |it is another file|was cut after 0"),
}


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_refused_and_nothing_of_it_stays(tmp_path, listed, wrong, size):
    sent, message = WRONG[wrong]
    with serving({NAME: sent}) as server:
        listed(server, gzip.compress(CONTENT) if wrong == "cut on the server" else CONTENT, size=size)
        with pytest.raises(ValueError, match=message):
            fetched(tmp_path)
    assert not any(file.endswith((".zip", "fetched.json")) for file in left(tmp_path))


def test_a_wrong_file_does_not_take_the_place_of_the_one_that_is_there(tmp_path, listed):
    with serving({NAME: CONTENT}) as server:
        listed(server)
        fetched(tmp_path)
        server.files[NAME] = bytes(300_000)
        listed(server, b"a newer file", size=False)
        with pytest.raises(ValueError, match="its MD5 is"):
            fetched(tmp_path)
        assert (tmp_path / "images" / NAME).read_bytes() == CONTENT


REFUSED = {
    "404": (answer(404), "answers 404 Not Found. Fetch it elsewhere, or give --mirror"),
    "403": (answer(403), "answers 403 Forbidden"),
    "redirected in a circle": (answer(302, Location=f"/{NAME}"), "Exceeded 30 redirects"),
    "redirected to no address": (answer(302, Location="file:///etc/passwd"), "no address that can be fetched from"),
    "packed": (packed, r"sends the file packed \(gzip\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_answer_that_is_no_file_is_one_message_at_once(tmp_path, listed, kind):
    misbehaviour, message = REFUSED[kind]
    with serving({NAME: CONTENT}, misbehaviours=[misbehaviour] * 40) as server:
        listed(server)
        with pytest.raises(ValueError, match=message):
            fetched(tmp_path)
    assert len(server.requests) == (31 if kind == "redirected in a circle" else 1)
    assert left(tmp_path) == set()


def test_a_redirection_is_followed_and_a_busy_server_asked_again(tmp_path, listed):
    with serving({NAME: CONTENT}, misbehaviours=[answer(503), answer(302, Location=f"/other/{NAME}")]) as server:
        listed(server)
        assert fetched(tmp_path) == CONTENT
    assert [path for path, _ in server.requests] == [f"/{NAME}", f"/{NAME}", f"/other/{NAME}"]


def test_a_silent_server_is_asked_again_and_given_up_with_what_came_kept(tmp_path, listed):
    silent = threading.Event()

    def stall(request: Request) -> bool:
        request.send(cut_after=20_000)
        request.wfile.flush()
        silent.wait(5)
        return True

    with serving({NAME: CONTENT}, misbehaviours=[stall, *[answer(500)] * transport.TRIES]) as server:
        listed(server)
        with pytest.raises(
            ValueError, match=r"answers 500 .*, 5 times in a row; 20,000 bytes of it are here: the same"
        ):
            fetched(tmp_path)
        silent.set()
        assert fetched(tmp_path) == CONTENT
    assert server.ranges_asked[-1] == "bytes=20000-"


def test_a_server_that_is_not_there_is_one_message(tmp_path, listed):
    with serving({}) as server:
        listed(server)
    with pytest.raises(ValueError, match=r"cannot be reached \(.*Connection refused.*--proxy .*--mirror"):
        fetched(tmp_path)


def test_a_file_without_end_is_stopped(tmp_path, listed, monkeypatch):
    monkeypatch.setattr("vggrepro.core.limits.DOWNLOAD_BYTES", 100_000)
    with serving({NAME: CONTENT}, says_length=False) as server:
        listed(server, None)
        with pytest.raises(ValueError, match="sends more than 100,000 bytes: it is another file"):
            fetched(tmp_path)
    with serving({NAME: CONTENT}) as server:
        listed(server, None)
        with pytest.raises(ValueError, match="has 300,000 bytes, expected 100,000: it is another file"):
            fetched(tmp_path)


def test_a_disk_without_room_is_told_before_the_first_byte(tmp_path, listed, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 5000, 5000))
    with serving({NAME: CONTENT}) as server:
        listed(server)
        with pytest.raises(ValueError, match="300,000 bytes of .* are to come, and 5,000 are free"):
            fetched(tmp_path)
    assert left(tmp_path) == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: it takes root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_becomes_full_keeps_what_came_and_the_same_command_goes_on(small_disk, tmp_path, listed):
    with serving({NAME: CONTENT}, says_length=False) as server:
        listed(server, size=False)
        with pytest.raises(
            ValueError, match="the disk is full, with .* here: free some space; the same command goes on"
        ):
            fetched(small_disk)
        there = (small_disk / f"images/.{NAME}.part").stat().st_size
        assert 100_000 < there < 210_000
        subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
        assert fetched(small_disk) == CONTENT
        assert server.ranges_asked[-1] == f"bytes={there}-"


def test_two_who_fetch_at_once_fetch_once(tmp_path, listed):
    with serving({NAME: CONTENT}) as server:
        listed(server)
        results: list[bytes] = []
        threads = [threading.Thread(target=lambda: results.append(fetched(tmp_path))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [CONTENT] * 4
    assert len(server.requests) == 1


KILLED = """
import sys
from pathlib import Path
from vggrepro.data import transport
transport.BYTES_PER_BLOCK = 10_000
transport.download(sys.argv[1], transport.Part(Path(sys.argv[2])), size=None, will_be_compared=False)
"""


def test_what_a_kill_left_is_continued(tmp_path, listed):
    (tmp_path / "images").mkdir()
    part, silent = tmp_path / f"images/.{NAME}.part", threading.Event()

    def stall(request: Request) -> bool:
        request.send(cut_after=90_000)
        request.wfile.flush()
        silent.wait(60)
        return True

    with serving({NAME: CONTENT}, misbehaviours=[stall]) as server:
        listed(server, None)
        process = subprocess.Popen([sys.executable, "-c", KILLED, f"{server.address}/{NAME}", str(part)])
        while not (part.exists() and part.stat().st_size >= 80_000):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        silent.set()
        assert fetched(tmp_path) == CONTENT
    assert int(str(server.ranges_asked[-1]).strip("bytes=-")) >= 80_000


def test_a_mirror_has_the_file_under_its_name_and_is_not_believed_more(tmp_path, listed):
    with serving({NAME: bytes(300_000)}) as published, serving({NAME: CONTENT}) as mirror:
        listed(published)
        assert fetched(tmp_path, mirror=f"{mirror.address}/mirrors/") == CONTENT
        mirror.files[NAME] = bytes(300_000)
        with pytest.raises(ValueError, match="its MD5 is"):
            fetched(tmp_path / "other", mirror=mirror.address)
    assert published.requests == []
    assert mirror.requests[0][0] == f"/mirrors/{NAME}"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_proxy_is_asked_in_place_of_the_server(tmp_path, listed, monkeypatch, by):
    with serving({NAME: CONTENT}) as proxy:
        listed(FileServer({}, address="http://images.example"))
        if by == "variable":
            monkeypatch.setenv("http_proxy", proxy.address)
        assert fetched(tmp_path, proxy=proxy.address if by == "option" else None) == CONTENT
    assert proxy.requests[0][0] == f"http://images.example/{NAME}"


def test_a_dry_run_and_the_list_ask_no_server_and_write_nothing(tmp_path, listed, capsys):
    with serving({NAME: CONTENT}) as server:
        listed(server)
        folder = str(tmp_path / "d")
        assert cli.main(["fetch", "images", "--dry-run", "--folder", folder]) == 0
        assert (
            f"{NAME}: 300,000 bytes, md5 {hashlib.md5(CONTENT).hexdigest()}, {server.address}"
            in capsys.readouterr().out
        )
        assert cli.main(["fetch", "--folder", folder]) == 0
        assert "images" in capsys.readouterr().out
        assert cli.main(["fetch", "image", "--folder", folder]) == 2
        assert "nothing is called 'image' (did you mean 'images'?)" in capsys.readouterr().err
    assert server.requests == []
    assert not (tmp_path / "d").exists()


def test_ilsvrc_is_never_fetched(tmp_path, capsys):
    assert cli.main(["fetch", "ilsvrc", "--folder", str(tmp_path / "d")]) == 2
    message = capsys.readouterr().err
    assert "Register at https://image-net.org" in message
    assert "ILSVRC2012_img_val.tar" in message
    assert not (tmp_path / "d").exists()
